package sim

type groupHistory struct{ w *world }

func (g *groupHistory) init() {}
