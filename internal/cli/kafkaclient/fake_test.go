package kafkaclient

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fakeServer is one server of a cluster whose answers a test writes.
type fakeServer struct {
	t    *testing.T
	ln   net.Listener
	node int32

	mu      sync.Mutex
	answer  func(req kmsg.Request) kmsg.Response // nil answer: hang up
	asked   []kmsg.Request
	highest map[int16]int16
	conns   []net.Conn
}

func startFake(t *testing.T, node int32) *fakeServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{t: t, ln: ln, node: node, highest: map[int16]int16{}}
	t.Cleanup(func() {
		ln.Close()
		f.hangUp()
	})
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, nc)
			f.mu.Unlock()
			go f.serve(nc)
		}
	}()
	return f
}

func (f *fakeServer) address() string { return f.ln.Addr().String() }

func (f *fakeServer) port() int32 { return int32(f.ln.Addr().(*net.TCPAddr).Port) }

// hangUp closes all connections.
func (f *fakeServer) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, nc := range f.conns {
		nc.Close()
	}
	f.conns = nil
}

// requests returns what was asked under one key.
func (f *fakeServer) requests(key kmsg.Key) (found []kmsg.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.asked {
		if r.Key() == int16(key) {
			found = append(found, r)
		}
	}
	return found
}

func (f *fakeServer) serve(nc net.Conn) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		body := frame[10+binary.BigEndian.Uint16(frame[8:]):]
		if req.IsFlexible() {
			body = body[1:]
		}
		if err := req.ReadFrom(body); err != nil {
			f.t.Errorf("request %d v%d cannot be read: %v", key, version, err)
			return
		}
		resp := f.reply(req)
		if resp == nil {
			return
		}
		resp.SetVersion(version)
		out := append(make([]byte, 4), frame[4:8]...)
		if resp.IsFlexible() && key != int16(kmsg.ApiVersions) {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

func (f *fakeServer) reply(req kmsg.Request) kmsg.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req)
	if v, ok := req.(*kmsg.ApiVersionsRequest); ok {
		resp := v.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key := range int16(70) {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey = key
			if r := kmsg.RequestForKey(key); r != nil {
				k.MaxVersion = r.MaxVersion()
			}
			if limit, ok := f.highest[key]; ok {
				k.MaxVersion = limit
			}
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
		return resp
	}
	return f.answer(req)
}

// metadataOf answers a Metadata request: topic t with its partitions led by
// the given nodes.
func metadataOf(servers []*fakeServer, leaders ...int32) *kmsg.MetadataResponse {
	resp := kmsg.NewPtrMetadataResponse()
	for _, s := range servers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = s.node, "127.0.0.1", s.port()
		resp.Brokers = append(resp.Brokers, b)
	}
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = new("t")
	for i, l := range leaders {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader = int32(i), l
		t.Partitions = append(t.Partitions, p)
	}
	resp.Topics = append(resp.Topics, t)
	return resp
}

func connect(t *testing.T, f *fakeServer) *Client {
	t.Helper()
	c, err := Connect(context.Background(), Options{Brokers: []string{f.address()}, ClientID: "test", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
