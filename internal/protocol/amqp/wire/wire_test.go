package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	whole := AppendMethod(nil, 3, &BasicAck{DeliveryTag: 7, Multiple: true})
	if got, want := hex.EncodeToString(whole), "010003"+"0000000d"+"003c0050"+"0000000000000007"+"01"+"ce"; got != want {
		t.Fatalf("basic.ack is %s, want %s", got, want)
	}
	for i := range whole {
		if _, n, ok, err := ParseFrame(whole[:i], MinFrameMax); ok || err != nil || i >= HeadSize && n != len(whole) {
			t.Fatalf("%d of %d bytes: n %d, ok %v, err %v", i, len(whole), n, ok, err)
		}
	}
	f, n, ok, err := ParseFrame(append(slices.Clone(whole), 1, 2), MinFrameMax)
	if err != nil || !ok || n != len(whole) || f.Type != FrameMethod || f.Channel != 3 {
		t.Fatalf("frame %+v of %d bytes, ok %v, err %v", f, n, ok, err)
	}
	id, args, ok := SplitMethod(f.Payload)
	var ack BasicAck
	if err := Parse(&ack, args); !ok || id != IDBasicAck || err != nil || ack != (BasicAck{DeliveryTag: 7, Multiple: true}) {
		t.Fatalf("%s %+v, err %v", id, ack, err)
	}
	deliver, nack := &BasicDeliver{ConsumerTag: []byte("c"), DeliveryTag: 9}, &BasicNack{DeliveryTag: 3, Multiple: true}
	quick := nack.Append(deliver.Append(ack.Append(nil, 4), 4), 4)
	if slow := AppendMethod(AppendMethod(AppendMethod(nil, 4, &ack), 4, deliver), 4, nack); !bytes.Equal(quick, slow) {
		t.Errorf("got % x, want % x", quick, slow)
	}
	if got := AppendHeartbeat(nil); !bytes.Equal(got, []byte{8, 0, 0, 0, 0, 0, 0, 0xce}) {
		t.Errorf("a heartbeat is % x", got)
	}
}

func TestFrameFaults(t *testing.T) {
	fits := AppendBody(nil, 1, make([]byte, MinFrameMax), 0) // 8 bytes over, which is let pass
	if _, _, ok, err := ParseFrame(fits, MinFrameMax); !ok || err != nil {
		t.Errorf("a frame within the slack: ok %v, err %v", ok, err)
	}
	over := AppendBody(nil, 1, make([]byte, MinFrameMax+1), 0)
	if _, _, _, err := ParseFrame(over[:HeadSize], MinFrameMax); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("a frame that is too large: %v", err)
	}
	if _, _, ok, err := ParseFrame(over, 0); !ok || err != nil {
		t.Errorf("without a limit: ok %v, err %v", ok, err)
	}
	fits[len(fits)-1] = 0
	if _, _, _, err := ParseFrame(fits, MinFrameMax); !errors.Is(err, ErrFrameEnd) {
		t.Errorf("a frame without its end: %v", err)
	}
}

func TestBodyIsCutIntoFrames(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 3*(MinFrameMax-Overhead)+1)
	b := AppendBody(nil, 9, body, MinFrameMax)
	var got []byte
	var sizes []int
	for len(b) > 0 {
		f, n, ok, err := ParseFrame(b, MinFrameMax)
		if err != nil || !ok || f.Type != FrameBody || f.Channel != 9 {
			t.Fatalf("frame %+v ok %v err %v", f, ok, err)
		}
		got, sizes, b = append(got, f.Payload...), append(sizes, n), b[n:]
	}
	if !bytes.Equal(got, body) || !slices.Equal(sizes, []int{4096, 4096, 4096, 9}) {
		t.Errorf("frames of %v bytes", sizes)
	}
	if b := AppendBody(nil, 9, nil, MinFrameMax); len(b) != 0 {
		t.Errorf("an empty body has %d bytes of frames", len(b))
	}
}

// fill gives every field of a method a value of its own.
func fill(m Method) {
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool:
			f.SetBool(i%2 == 0)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			f.SetUint(uint64(i + 1))
		case reflect.Slice:
			if f.Type() == reflect.TypeFor[Table]() {
				f.SetBytes(Table(nil).AppendString("key", "value"))
			} else {
				f.SetBytes([]byte(v.Type().Field(i).Name))
			}
		default:
			panic(f.Kind())
		}
	}
}

func TestMethodsReadWhatTheyWrite(t *testing.T) {
	if len(names) != len(makers) {
		t.Errorf("%d names and %d makers", len(names), len(makers))
	}
	for id := range names {
		m := New(id)
		if m == nil || m.ID() != id {
			t.Errorf("%s: New makes a %T", id, m)
			continue
		}
		if want := strings.NewReplacer(".", "", "-", "").Replace(id.String()); !strings.EqualFold(want, reflect.TypeOf(m).Elem().Name()) {
			t.Errorf("%s is a %T", id, m)
		}
		fill(m)
		f, _, _, err := ParseFrame(AppendMethod(nil, 1, m), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, args, _ := SplitMethod(f.Payload)
		got := New(id)
		if err := Parse(got, args); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v became %+v, err %v", id, m, got, err)
		}
		for i := range args {
			if Parse(New(id), args[:i]) == nil {
				t.Errorf("%s: accepted with %d of %d bytes", id, i, len(args))
			}
		}
		if Parse(New(id), append(args, 0)) == nil {
			t.Errorf("%s: accepted with a byte too many", id)
		}
	}
	if New(classBasic<<16|1) != nil {
		t.Error("New makes a method that does not exist")
	}
}

func TestMethodsOnTheWire(t *testing.T) {
	for _, c := range []struct {
		m    Method
		want string
	}{
		{
			&QueueDeclare{Queue: []byte("q"), Durable: true, NoWait: true, Arguments: Table(nil).AppendInt("x", 1)},
			"0032000a" + "0000" + "0171" + "12" + "0000000b" + "0178" + "6c" + "0000000000000001",
		},
		{&ExchangeUnbindOk{}, "00280033"},
		{&BasicNack{DeliveryTag: 1, Requeue: true}, "003c0078" + "0000000000000001" + "02"},
		{&BasicDeliver{ConsumerTag: []byte("c"), DeliveryTag: 2, Redelivered: true, Exchange: []byte("e"), RoutingKey: []byte("k")}, "003c003c" + "0163" + "0000000000000002" + "01" + "0165" + "016b"},
		{&ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}, "000a001e" + "07ff" + "00020000" + "003c"},
	} {
		b := AppendMethod(nil, 0, c.m)
		if got := hex.EncodeToString(b[HeadSize : len(b)-1]); got != c.want {
			t.Errorf("%s is %s, want %s", c.m.ID(), got, c.want)
		}
	}
}

func TestNamesAreUTF8(t *testing.T) {
	b := AppendMethod(nil, 0, &QueueDelete{Queue: []byte("\xff")})
	if err := Parse(new(QueueDelete), b[HeadSize+4:len(b)-1]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a name that is not UTF-8: %v", err)
	}
	long := bytes.Repeat([]byte("n"), 300)
	b = AppendMethod(nil, 0, &ConnectionBlocked{Reason: long})
	var got ConnectionBlocked
	if err := Parse(&got, b[HeadSize+4:len(b)-1]); err != nil || len(got.Reason) != 255 {
		t.Errorf("a name of 300 bytes arrives with %d, err %v", len(got.Reason), err)
	}
}

func TestProperties(t *testing.T) {
	p := Properties{
		Flags:       HasContentType | HasHeaders | HasDeliveryMode | HasPriority | HasTimestamp | HasClusterID,
		ContentType: []byte("text/plain"), Headers: Table(nil).AppendString("a", "b"),
		DeliveryMode: 2, Priority: 9, Timestamp: 12345, ClusterID: []byte("c"),
	}
	b := p.AppendTo(nil)
	var got Properties
	if err := got.Parse(b); err != nil || !reflect.DeepEqual(got, p) {
		t.Fatalf("got %+v, err %v", got, err)
	}
	for i := range b {
		if got.Parse(b[:i]) == nil {
			t.Errorf("accepted with %d of %d bytes", i, len(b))
		}
	}
	if got.Parse([]byte{0, 1, 0, 0}) == nil {
		t.Error("accepted with a second word of flags")
	}
	raw := AppendRawContentHeader(nil, 1, 77, b)
	if want := AppendContentHeader(nil, 1, 77, &p); !bytes.Equal(raw, want) {
		t.Errorf("encoded properties: % x, want % x", raw, want)
	}
	var h ContentHeader
	if err := h.Parse(raw[HeadSize : len(raw)-1]); err != nil || h.Class != ClassBasic || h.Size != 77 || !bytes.Equal(h.Properties, b) {
		t.Errorf("content header %+v, err %v", h, err)
	}
	if h.Parse(make([]byte, 13)) == nil {
		t.Error("a content header without flags is accepted")
	}
}

// TestHotPathsAllocateNothing: reading a publish or an ack, writing a delivery.
func TestHotPathsAllocateNothing(t *testing.T) {
	props := Properties{Flags: HasHeaders | HasDeliveryMode, DeliveryMode: 2, Headers: Table(nil).AppendInt("n", 1)}
	in := AppendMethod(nil, 1, &BasicPublish{Exchange: []byte("e"), RoutingKey: []byte("k")})
	in = AppendContentHeader(in, 1, 5, &props)
	in = AppendBody(in, 1, []byte("hello"), 0)
	in = AppendMethod(in, 1, &BasicAck{DeliveryTag: 1})
	encoded := props.AppendTo(nil)
	out := make([]byte, 0, 4096)
	publish, ack, nack, deliver := new(BasicPublish), new(BasicAck), new(BasicNack), new(BasicDeliver)
	n := testing.AllocsPerRun(100, func() {
		for b := in; len(b) > 0; {
			f, n, ok, err := ParseFrame(b, MinFrameMax)
			if !ok || err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			switch f.Type {
			case FrameMethod:
				id, args, _ := SplitMethod(f.Payload)
				if id == IDBasicPublish {
					err = publish.Parse(args)
				} else {
					err = ack.Parse(args)
				}
			case FrameHeader:
				var h ContentHeader
				if err = h.Parse(f.Payload); err == nil {
					err = props.Parse(h.Properties)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		deliver.Exchange, deliver.RoutingKey = publish.Exchange, publish.RoutingKey
		out = deliver.Append(out[:0], 1)
		out = ack.Append(out, 1)
		out = nack.Append(out, 1)
		out = AppendRawContentHeader(out, 1, 5, encoded)
		out = AppendBody(out, 1, in[:5], MinFrameMax)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
