package sim

// linear gathers histories that must be linearizable.
type linear struct{ w *world }

func (l *linear) judge() {}
