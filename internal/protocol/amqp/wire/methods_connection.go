package wire

// ConnectionStart is connection.start.
type ConnectionStart struct {
	VersionMajor, VersionMinor uint8
	ServerProperties           Table
	Mechanisms, Locales        []byte
}

// ID returns the method's id.
func (*ConnectionStart) ID() ID { return IDConnectionStart }

func (m *ConnectionStart) walk(c *coder) {
	c.octet(&m.VersionMajor)
	c.octet(&m.VersionMinor)
	c.table(&m.ServerProperties)
	c.longstr(&m.Mechanisms)
	c.longstr(&m.Locales)
}

// ConnectionStartOk is connection.start-ok.
type ConnectionStartOk struct {
	ClientProperties Table
	Mechanism        []byte
	Response         []byte
	Locale           []byte
}

// ID returns the method's id.
func (*ConnectionStartOk) ID() ID { return IDConnectionStartOk }

func (m *ConnectionStartOk) walk(c *coder) {
	c.table(&m.ClientProperties)
	c.shortstr(&m.Mechanism)
	c.longstr(&m.Response)
	c.shortstr(&m.Locale)
}

// ConnectionSecure is connection.secure.
type ConnectionSecure struct {
	Challenge []byte
}

// ID returns the method's id.
func (*ConnectionSecure) ID() ID { return IDConnectionSecure }

func (m *ConnectionSecure) walk(c *coder) {
	c.longstr(&m.Challenge)
}

// ConnectionSecureOk is connection.secure-ok.
type ConnectionSecureOk struct {
	Response []byte
}

// ID returns the method's id.
func (*ConnectionSecureOk) ID() ID { return IDConnectionSecureOk }

func (m *ConnectionSecureOk) walk(c *coder) {
	c.longstr(&m.Response)
}

// ConnectionTune is connection.tune.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID returns the method's id.
func (*ConnectionTune) ID() ID { return IDConnectionTune }

func (m *ConnectionTune) walk(c *coder) {
	c.short(&m.ChannelMax)
	c.long(&m.FrameMax)
	c.short(&m.Heartbeat)
}

// ConnectionTuneOk is connection.tune-ok.
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// ID returns the method's id.
func (*ConnectionTuneOk) ID() ID { return IDConnectionTuneOk }

func (m *ConnectionTuneOk) walk(c *coder) {
	c.short(&m.ChannelMax)
	c.long(&m.FrameMax)
	c.short(&m.Heartbeat)
}

// ConnectionOpen is connection.open.
type ConnectionOpen struct {
	VirtualHost, Capabilities []byte
	Insist                    bool
}

// ID returns the method's id.
func (*ConnectionOpen) ID() ID { return IDConnectionOpen }

func (m *ConnectionOpen) walk(c *coder) {
	c.shortstr(&m.VirtualHost)
	c.shortstr(&m.Capabilities)
	c.bits(&m.Insist)
}

// ConnectionOpenOk is connection.open-ok.
type ConnectionOpenOk struct {
	KnownHosts []byte
}

// ID returns the method's id.
func (*ConnectionOpenOk) ID() ID { return IDConnectionOpenOk }

func (m *ConnectionOpenOk) walk(c *coder) {
	c.shortstr(&m.KnownHosts)
}

// ConnectionClose is connection.close.
type ConnectionClose struct {
	ReplyCode                 uint16
	ReplyText                 []byte
	FailedClass, FailedMethod uint16
}

// ID returns the method's id.
func (*ConnectionClose) ID() ID { return IDConnectionClose }

func (m *ConnectionClose) walk(c *coder) {
	c.short(&m.ReplyCode)
	c.shortstr(&m.ReplyText)
	c.short(&m.FailedClass)
	c.short(&m.FailedMethod)
}

// ConnectionCloseOk is connection.close-ok.
type ConnectionCloseOk struct{}

// ID returns the method's id.
func (*ConnectionCloseOk) ID() ID { return IDConnectionCloseOk }

func (*ConnectionCloseOk) walk(*coder) {}

// ConnectionBlocked is connection.blocked.
type ConnectionBlocked struct {
	Reason []byte
}

// ID returns the method's id.
func (*ConnectionBlocked) ID() ID { return IDConnectionBlocked }

func (m *ConnectionBlocked) walk(c *coder) {
	c.shortstr(&m.Reason)
}

// ConnectionUnblocked is connection.unblocked.
type ConnectionUnblocked struct{}

// ID returns the method's id.
func (*ConnectionUnblocked) ID() ID { return IDConnectionUnblocked }

func (*ConnectionUnblocked) walk(*coder) {}

// ConnectionUpdateSecret is connection.update-secret.
type ConnectionUpdateSecret struct {
	NewSecret []byte
	Reason    []byte
}

// ID returns the method's id.
func (*ConnectionUpdateSecret) ID() ID { return IDConnectionUpdateSecret }

func (m *ConnectionUpdateSecret) walk(c *coder) {
	c.longstr(&m.NewSecret)
	c.shortstr(&m.Reason)
}

// ConnectionUpdateSecretOk is connection.update-secret-ok.
type ConnectionUpdateSecretOk struct{}

// ID returns the method's id.
func (*ConnectionUpdateSecretOk) ID() ID { return IDConnectionUpdateSecretOk }

func (*ConnectionUpdateSecretOk) walk(*coder) {}

// ChannelOpen is channel.open.
type ChannelOpen struct {
	OutOfBand []byte
}

// ID returns the method's id.
func (*ChannelOpen) ID() ID { return IDChannelOpen }

func (m *ChannelOpen) walk(c *coder) {
	c.shortstr(&m.OutOfBand)
}

// ChannelOpenOk is channel.open-ok.
type ChannelOpenOk struct {
	ChannelID []byte
}

// ID returns the method's id.
func (*ChannelOpenOk) ID() ID { return IDChannelOpenOk }

func (m *ChannelOpenOk) walk(c *coder) {
	c.longstr(&m.ChannelID)
}

// ChannelFlow is channel.flow.
type ChannelFlow struct {
	Active bool
}

// ID returns the method's id.
func (*ChannelFlow) ID() ID { return IDChannelFlow }

func (m *ChannelFlow) walk(c *coder) {
	c.bits(&m.Active)
}

// ChannelFlowOk is channel.flow-ok.
type ChannelFlowOk struct {
	Active bool
}

// ID returns the method's id.
func (*ChannelFlowOk) ID() ID { return IDChannelFlowOk }

func (m *ChannelFlowOk) walk(c *coder) {
	c.bits(&m.Active)
}

// ChannelClose is channel.close.
type ChannelClose struct {
	ReplyCode                 uint16
	ReplyText                 []byte
	FailedClass, FailedMethod uint16
}

// ID returns the method's id.
func (*ChannelClose) ID() ID { return IDChannelClose }

func (m *ChannelClose) walk(c *coder) {
	c.short(&m.ReplyCode)
	c.shortstr(&m.ReplyText)
	c.short(&m.FailedClass)
	c.short(&m.FailedMethod)
}

// ChannelCloseOk is channel.close-ok.
type ChannelCloseOk struct{}

// ID returns the method's id.
func (*ChannelCloseOk) ID() ID { return IDChannelCloseOk }

func (*ChannelCloseOk) walk(*coder) {}

// AccessRequest is access.request.
type AccessRequest struct {
	Realm                                   []byte
	Exclusive, Passive, Active, Write, Read bool
}

// ID returns the method's id.
func (*AccessRequest) ID() ID { return IDAccessRequest }

func (m *AccessRequest) walk(c *coder) {
	c.shortstr(&m.Realm)
	c.bits(&m.Exclusive, &m.Passive, &m.Active, &m.Write, &m.Read)
}

// AccessRequestOk is access.request-ok.
type AccessRequestOk struct {
	Ticket uint16
}

// ID returns the method's id.
func (*AccessRequestOk) ID() ID { return IDAccessRequestOk }

func (m *AccessRequestOk) walk(c *coder) {
	c.short(&m.Ticket)
}
