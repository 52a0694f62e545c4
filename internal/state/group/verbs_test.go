package group

import (
	"fmt"
	"strings"

	"github.com/polylog-mq/polylog/internal/record"
)

// commands are the verbs of the scripts that are logged.
var commands = map[string]func(*harness, *args) Command{
	// join GROUP MEMBER [new] [require] [skip] [instance=I] [session=D]
	// [rebalance=D] [type=T] [p=NAME:METADATA]...
	"join": func(_ *harness, a *args) Command {
		c := &Join{
			Group: a.word(0), Member: a.word(1), New: a.flag("new"), RequireID: a.flag("require"),
			CanSkip: a.flag("skip"), Instance: a.key("instance", ""), ClientID: "client", ClientHost: "host",
			SessionTimeout:   int32(a.millis(a.key("session", "10s"))),
			RebalanceTimeout: int32(a.millis(a.key("rebalance", "60s"))),
			ProtocolType:     a.key("type", "consumer"),
		}
		ps := a.keys["p"]
		if len(ps) == 0 {
			ps = []string{"range:@t1"}
		}
		for _, p := range ps {
			name, metadata, _ := strings.Cut(p, ":")
			if name != "" {
				c.Protocols = append(c.Protocols, Protocol{Name: name, Metadata: parseMetadata(metadata)})
			}
		}
		return c
	},
	// sync GROUP MEMBER GENERATION [instance=I] [type=T] [protocol=P] [give=MEMBER:DATA]...
	"sync": func(_ *harness, a *args) Command {
		c := &Sync{
			Group: a.word(0), Member: a.word(1), Generation: int32(a.number(a.word(2))), Instance: a.key("instance", ""),
			ProtocolType: a.key("type", ""), Protocol: a.key("protocol", ""),
		}
		for _, g := range a.keys["give"] {
			member, data, _ := strings.Cut(g, ":")
			c.Assignments = append(c.Assignments, Assignment{Member: member, Data: []byte(data)})
		}
		return c
	},
	// leave GROUP MEMBER[/INSTANCE]...
	"leave": func(_ *harness, a *args) Command {
		c := &Leave{Group: a.word(0)}
		for _, w := range a.words[1:] {
			member, instance, _ := strings.Cut(w, "/")
			c.Members = append(c.Members, Leaver{Member: member, Instance: instance})
		}
		return c
	},
	// expire GROUP MEMBER [seen=N]; by default what the state knows
	"expire": func(h *harness, a *args) Command {
		known, _ := h.s.Session(a.word(0), a.word(1))
		seen := a.number(a.key("seen", fmt.Sprint(known.Seen)))
		return &Expire{Group: a.word(0), Member: a.word(1), Seen: uint64(seen)}
	},
	// commit GROUP [member=M] [generation=G] [instance=I] [keep=D] TOPIC/PARTITION=OFFSET[:METADATA]...
	"commit": func(_ *harness, a *args) Command {
		c := &Commit{
			Group: a.word(0), Member: a.key("member", ""), Instance: a.key("instance", ""),
			Generation: int32(a.number(a.key("generation", "-1"))), Retention: -1,
		}
		if keep := a.key("keep", ""); keep != "" {
			c.Retention = a.millis(keep)
		}
		for _, w := range a.words[1:] {
			where, what, _ := strings.Cut(w, "=")
			topic, partition, _ := strings.Cut(where, "/")
			offset, metadata, _ := strings.Cut(what, ":")
			c.Topics = append(c.Topics, CommitTopic{Topic: a.topic(topic), Name: topic, Partitions: []CommitPartition{{
				Partition: int32(a.number(partition)), Offset: record.Offset(a.number(offset)), Epoch: -1, Metadata: metadata,
			}}})
		}
		return c
	},
	// enlist GROUP PRODUCER NUMBER [epoch=E]
	"enlist": func(_ *harness, a *args) Command {
		return &Enlist{
			Group: a.word(0), Producer: a.number(a.word(1)), Number: uint64(a.number(a.word(2))),
			Epoch: int16(a.number(a.key("epoch", "0"))),
		}
	},
	// pend GROUP PRODUCER TOPIC/PARTITION=OFFSET [epoch=E] [member=M] [generation=G]
	"pend": func(_ *harness, a *args) Command {
		c := &TxnCommit{Producer: a.number(a.word(1)), Epoch: int16(a.number(a.key("epoch", "0")))}
		where, what, _ := strings.Cut(a.word(2), "=")
		topic, partition, _ := strings.Cut(where, "/")
		c.Commit = Commit{
			Group: a.word(0), Member: a.key("member", ""), Generation: int32(a.number(a.key("generation", "-1"))), Retention: -1,
			Topics: []CommitTopic{{Topic: a.topic(topic), Name: topic, Partitions: []CommitPartition{{
				Partition: int32(a.number(partition)), Offset: record.Offset(a.number(what)), Epoch: -1,
			}}}},
		}
		return c
	},
	// resolve GROUP PRODUCER NUMBER [commit] [epoch=E]
	"resolve": func(_ *harness, a *args) Command {
		return &Resolve{
			Group: a.word(0), Producer: a.number(a.word(1)), Number: uint64(a.number(a.word(2))),
			Epoch: int16(a.number(a.key("epoch", "0"))), Commit: a.flag("commit"),
		}
	},
	"delete": func(_ *harness, a *args) Command { return &Delete{Group: a.word(0)} },
	// delete-offsets GROUP TOPIC/PARTITION...
	"delete-offsets": func(_ *harness, a *args) Command {
		c := &DeleteOffsets{Group: a.word(0)}
		for _, w := range a.words[1:] {
			topic, partition, _ := strings.Cut(w, "/")
			c.Topics = append(c.Topics, DeleteTopic{
				Topic: a.topic(topic), Name: topic, Partitions: []int32{int32(a.number(partition))},
			})
		}
		return c
	},
	"forget": func(_ *harness, a *args) Command {
		c := &Forget{}
		for _, w := range a.words {
			c.Topics = append(c.Topics, a.topic(w))
		}
		return c
	},
	// configure [delay=D] [max=N] [retention=D]
	"configure": func(_ *harness, a *args) Command {
		return &Configure{Settings{
			InitialDelay: int32(a.millis(a.key("delay", "0s"))),
			MaxSize:      int32(a.number(a.key("max", "1000"))),
			Retention:    a.millis(a.key("retention", "168h")),
		}}
	},
}

// questions are the verbs that are not logged.
var questions = map[string]func(*harness, *args){
	// tick [hold] [DURATION]: let time pass, then tick
	"tick": func(h *harness, a *args) {
		if d := a.word(len(a.words) - 1); d != "hold" && d != "" {
			h.now += record.LogTime(a.millis(d))
		}
		var fx Effects
		h.s.Tick(h.now, a.flag("hold"), &fx)
		h.effects(&fx)
		h.changed()
		if !a.flag("hold") {
			h.checkpoint()
		}
	},
	// unstable GROUP TOPIC/PARTITION
	"unstable": func(h *harness, a *args) {
		topic, partition, _ := strings.Cut(a.word(1), "/")
		h.printf("%v", h.s.Unstable(a.word(0), a.topic(topic), int32(a.number(partition))))
	},
	// lead: the first entry of a new leader, with nothing in it
	"lead": func(h *harness, _ *args) {
		h.term++
		h.s.Begin(h.now, h.term)
		h.checkpoint()
	},
	"restart": func(h *harness, _ *args) { h.s = load(h.t, h.disk) },
	"heartbeat": func(h *harness, a *args) {
		err := h.s.Heartbeat(a.word(0), a.word(1), a.key("instance", ""), int32(a.number(a.word(2))))
		h.printf("%s", showErr(err, "ok"))
	},
	"deadline": func(h *harness, _ *args) {
		at, ok := h.s.NextDeadline()
		if !ok {
			h.printf("none")
			return
		}
		h.printf("in %d ms", at-h.now)
	},
	"session": func(h *harness, a *args) {
		s, ok := h.s.Session(a.word(0), a.word(1))
		h.printf("%v timeout %d new %v", ok, s.Timeout, s.New)
	},
	// offsets GROUP [TOPIC/PARTITION]
	"offsets": func(h *harness, a *args) {
		show := func(o Offset) { h.printf("t%d/%d = %d %q", o.Topic, o.Partition, o.Offset, o.Metadata) }
		if a.word(1) != "" {
			topic, partition, _ := strings.Cut(a.word(1), "/")
			o, ok := h.s.Offset(a.word(0), a.topic(topic), int32(a.number(partition)))
			if !ok {
				h.printf("none")
				return
			}
			show(o)
			return
		}
		for o := range h.s.Offsets(a.word(0)) {
			show(o)
		}
	},
	"topics": func(h *harness, _ *args) { h.printf("%v", h.s.Topics()) },
	"list": func(h *harness, _ *args) {
		for s := range h.s.Groups() {
			h.printf("%s %v %q", s.Group, s.Phase, s.ProtocolType)
		}
	},
	"members": func(h *harness, _ *args) {
		for g, m := range h.s.Members() {
			h.printf("%s %s", g, m)
		}
	},
	"describe": func(h *harness, a *args) {
		d, ok := h.s.Describe(a.word(0))
		h.printf("%v %v %q/%q generation %d", ok, d.Phase, d.ProtocolType, d.Protocol, d.Generation)
		for _, m := range d.Members {
			h.printf("%s %q %s %s %s %q", m.Member, m.Instance, m.ClientID, m.ClientHost, showMetadata(m.Metadata), m.Assignment)
		}
	},
}
