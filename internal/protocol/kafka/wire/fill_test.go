package wire

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every field of a kmsg message to something random, so that its
// encoding exercises whatever the version has. The same seed gives the same
// message.
func fill(m any, seed uint64) {
	fillValue(reflect.ValueOf(m).Elem(), rand.New(rand.NewPCG(seed, 1)))
}

func fillValue(v reflect.Value, r *rand.Rand) {
	if v.Type() == reflect.TypeFor[kmsg.Tags]() {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "Version" && f.IsExported() {
				fillValue(v.Field(i), r)
			}
		}
	case reflect.Slice:
		if r.IntN(8) == 0 && v.Type().Elem().Kind() == reflect.Uint8 {
			return // null where it may be
		}
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fillValue(v.Index(i), r)
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillValue(v.Elem(), r)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%.*s", r.IntN(12), "a-name-or-two"))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(int8(r.Uint64())))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(r.Uint64() & 0xff)
	default:
		panic("fill: " + v.Type().String())
	}
}

// requests returns a function that makes a new request, by key, of every
// request that has a shape.
func requests() map[int16]func() kmsg.Request {
	out := make(map[int16]func() kmsg.Request)
	for key, s := range shapes {
		if s != nil {
			out[int16(key)] = func() kmsg.Request { return kmsg.RequestForKey(int16(key)) }
		}
	}
	return out
}
