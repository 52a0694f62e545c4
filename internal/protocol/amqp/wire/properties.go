package wire

import "encoding/binary"

// The flags of properties, in the order in which the fields follow.
const (
	HasContentType     = 1 << 15
	HasContentEncoding = 1 << 14
	HasHeaders         = 1 << 13
	HasDeliveryMode    = 1 << 12
	HasPriority        = 1 << 11
	HasCorrelationID   = 1 << 10
	HasReplyTo         = 1 << 9
	HasExpiration      = 1 << 8
	HasMessageID       = 1 << 7
	HasTimestamp       = 1 << 6
	HasType            = 1 << 5
	HasUserID          = 1 << 4
	HasAppID           = 1 << 3
	HasClusterID       = 1 << 2

	moreFlags = 1 // another word of flags follows; nothing uses it
)

// Properties are those of a content of class basic. Flags says which are there;
// fields without their flag have no meaning.
type Properties struct {
	Flags           uint16
	ContentType     []byte
	ContentEncoding []byte
	Headers         Table
	DeliveryMode    uint8 // 2: persistent
	Priority        uint8
	CorrelationID   []byte
	ReplyTo         []byte
	Expiration      []byte // ms, decimal
	MessageID       []byte
	Timestamp       uint64 // seconds since the Unix epoch
	Type            []byte
	UserID          []byte
	AppID           []byte
	ClusterID       []byte
}

func (p *Properties) walk(c *coder) {
	c.short(&p.Flags)
	if p.Flags&moreFlags != 0 {
		c.bad = true
		return
	}
	str := func(flag uint16, v *[]byte) {
		if p.Flags&flag != 0 {
			c.propstr(v)
		}
	}
	str(HasContentType, &p.ContentType)
	str(HasContentEncoding, &p.ContentEncoding)
	if p.Flags&HasHeaders != 0 {
		c.table(&p.Headers)
	}
	if p.Flags&HasDeliveryMode != 0 {
		c.octet(&p.DeliveryMode)
	}
	if p.Flags&HasPriority != 0 {
		c.octet(&p.Priority)
	}
	str(HasCorrelationID, &p.CorrelationID)
	str(HasReplyTo, &p.ReplyTo)
	str(HasExpiration, &p.Expiration)
	str(HasMessageID, &p.MessageID)
	if p.Flags&HasTimestamp != 0 {
		c.longlong(&p.Timestamp)
	}
	str(HasType, &p.Type)
	str(HasUserID, &p.UserID)
	str(HasAppID, &p.AppID)
	str(HasClusterID, &p.ClusterID)
}

// Parse reads properties, which then alias b, and forgets what p held.
// ErrMalformed is the only error.
func (p *Properties) Parse(b []byte) error {
	*p = Properties{}
	c := coder{b: b}
	p.walk(&c)
	if c.bad || len(c.b) > 0 {
		return ErrMalformed
	}
	return nil
}

// AppendTo appends the properties as they are on the wire.
func (p *Properties) AppendTo(b []byte) []byte {
	c := coder{b: b, writing: true}
	p.walk(&c)
	return c.b
}

// ContentHeader is the payload of a header frame.
type ContentHeader struct {
	Class  uint16
	Weight uint16
	Size   uint64 // of the body, in bytes
	// Properties is the encoded properties, flags first. It aliases the frame.
	Properties []byte
}

// contentHeaderSize is the length of a content header without properties.
const contentHeaderSize = 12

// Parse reads the payload of a header frame. ErrMalformed is the only error.
func (h *ContentHeader) Parse(b []byte) error {
	if len(b) < contentHeaderSize+2 {
		return ErrMalformed
	}
	h.Class, h.Weight = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	h.Size, h.Properties = binary.BigEndian.Uint64(b[4:]), b[contentHeaderSize:]
	return nil
}
