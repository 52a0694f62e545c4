package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/polylog-mq/polylog/internal/record"
)

// linear gathers the histories of small objects that must be linearizable:
// committed offsets, generations of groups, and the existence of topics.
type linear struct {
	w    *world
	ops  []*operation
	acks map[string]record.Offset // the largest commit answered, by object
}

// operation is one call. An operation whose outcome nobody knows ends never and
// may or may not have happened; one that did not happen is left out.
type operation struct {
	object     string
	kind       opKind
	value      record.Offset // committed or fetched; for topics unused
	exists     bool          // for topics: the answer was that the topic exists
	from, to   time.Duration // to 0: not answered
	happened   bool
	atLeast    record.Offset // what had been committed when a fetch began
	attributed int           // index, as a client id of its own
}

type opKind uint8

const (
	commitOp opKind = iota
	fetchOp
	createOp
	deleteOp
	// joinOp was answered with a generation, acceptOp was taken as of one.
	joinOp
	acceptOp
)

func (k opKind) String() string {
	return [...]string{"commit", "fetch", "create", "delete", "join", "accept"}[k]
}

func (l *linear) begin(object string, kind opKind) *operation {
	op := &operation{object: object, kind: kind, from: l.w.clock.Mono(), attributed: len(l.ops)}
	l.ops = append(l.ops, op)
	return op
}

func offsetObject(group string, part int32) string { return fmt.Sprintf("offset %s/%d", group, part) }

func (l *linear) commit(group string, part int32, o record.Offset) *operation {
	op := l.begin(offsetObject(group, part), commitOp)
	op.value = o
	return op
}

func (l *linear) fetch(group string, part int32) *operation {
	op := l.begin(offsetObject(group, part), fetchOp)
	op.atLeast = -1
	if o, ok := l.acks[op.object]; ok {
		op.atLeast = o
	}
	return op
}

// generation begins an operation on the generation of a group; unless it is
// answered it says nothing.
func (l *linear) generation(group string, kind opKind, generation int32) *operation {
	op := l.begin("generation of "+group, kind)
	op.value = record.Offset(generation)
	return op
}

// fetched ends a fetch. Members read on from what is committed, and those of
// old generations are refused: so it only grows.
func (l *linear) fetched(op *operation, o record.Offset) {
	op.value = o
	l.end(op, true)
	if o < op.atLeast {
		l.w.fail("%s is %d after %d had been committed", op.object, o, op.atLeast)
	}
}

// end says whether an operation has happened.
func (l *linear) end(op *operation, happened bool) {
	op.to, op.happened = l.w.clock.Mono(), happened
	if op.kind == commitOp && happened {
		if l.acks == nil {
			l.acks = map[string]record.Offset{}
		}
		l.acks[op.object] = max(l.acks[op.object], op.value)
	}
}

// searchTime is how long, in real time, an order is looked for at most.
const searchTime = 2 * time.Second

// judge looks for an order of the operations on each object that explains all
// answers.
func (l *linear) judge() {
	objects := map[string][]porcupine.Operation{}
	for _, op := range l.ops {
		if op.to > 0 && !op.happened {
			continue
		}
		p := porcupine.Operation{ClientId: op.attributed, Input: op, Output: op, Call: int64(op.from), Return: int64(op.to)}
		if op.to == 0 {
			if op.kind != commitOp && op.kind != createOp && op.kind != deleteOp {
				continue
			}
			p.Return = math.MaxInt64
		}
		objects[op.object] = append(objects[op.object], p)
	}
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		history := objects[name]
		if porcupine.CheckOperationsTimeout(objectModel, history, searchTime) == porcupine.Illegal {
			l.w.fail("%s: no order explains these answers: %s", name, describe(history))
			return
		}
	}
}

// objectModel is an offset, the generation of a group, or a topic as 1 (exists) or
// 0.
var objectModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{record.Offset(-1)} },
	Step: func(state, input, output any) []any {
		now, op := state.(record.Offset), input.(*operation)
		unknown := op.to == 0
		var next record.Offset
		ok := true
		switch op.kind {
		case commitOp:
			next = op.value
		case fetchOp:
			next, ok = now, now == op.value
		case joinOp:
			next, ok = op.value, now <= op.value
		case acceptOp:
			next, ok = now, now == op.value
		case createOp:
			next, ok = 1, (now == 1) == op.exists
		case deleteOp:
			next, ok = -1, (now == 1) == op.exists
		}
		switch {
		case unknown:
			return []any{now, next}
		case ok:
			return []any{next}
		}
		return nil
	},
}).ToModel()

func describe(history []porcupine.Operation) (text string) {
	for _, p := range history {
		op := p.Input.(*operation)
		text += fmt.Sprintf("\n    %v to %v: %v %d %v", op.from, op.to, op.kind, op.value, op.exists)
	}
	return text
}
