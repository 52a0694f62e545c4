package wire

import (
	"encoding/binary"
	"fmt"
)

// ID is a method's class (upper 16 bits) and number.
type ID uint32

// Class and Number return the two halves.
func (id ID) Class() uint16 { return uint16(id >> 16) }

// Number is the method's number within its class.
func (id ID) Number() uint16 { return uint16(id) }

// String names the method as the specification does ("basic.publish").
func (id ID) String() string {
	if n, ok := names[id]; ok {
		return n
	}
	return fmt.Sprintf("method %d of class %d", id.Number(), id.Class())
}

// The classes.
const (
	classConnection = 10
	classChannel    = 20
	classAccess     = 30
	classExchange   = 40
	classQueue      = 50
	classBasic      = 60
	classConfirm    = 85
	classTx         = 90

	// ClassBasic is the only class that has contents.
	ClassBasic = classBasic
)

// The methods (AMQP 0-9-1 with RabbitMQ's additions).
const (
	IDConnectionStart          ID = classConnection<<16 | 10
	IDConnectionStartOk        ID = classConnection<<16 | 11
	IDConnectionSecure         ID = classConnection<<16 | 20
	IDConnectionSecureOk       ID = classConnection<<16 | 21
	IDConnectionTune           ID = classConnection<<16 | 30
	IDConnectionTuneOk         ID = classConnection<<16 | 31
	IDConnectionOpen           ID = classConnection<<16 | 40
	IDConnectionOpenOk         ID = classConnection<<16 | 41
	IDConnectionClose          ID = classConnection<<16 | 50
	IDConnectionCloseOk        ID = classConnection<<16 | 51
	IDConnectionBlocked        ID = classConnection<<16 | 60
	IDConnectionUnblocked      ID = classConnection<<16 | 61
	IDConnectionUpdateSecret   ID = classConnection<<16 | 70
	IDConnectionUpdateSecretOk ID = classConnection<<16 | 71

	IDChannelOpen    ID = classChannel<<16 | 10
	IDChannelOpenOk  ID = classChannel<<16 | 11
	IDChannelFlow    ID = classChannel<<16 | 20
	IDChannelFlowOk  ID = classChannel<<16 | 21
	IDChannelClose   ID = classChannel<<16 | 40
	IDChannelCloseOk ID = classChannel<<16 | 41

	IDAccessRequest   ID = classAccess<<16 | 10
	IDAccessRequestOk ID = classAccess<<16 | 11

	IDExchangeDeclare   ID = classExchange<<16 | 10
	IDExchangeDeclareOk ID = classExchange<<16 | 11
	IDExchangeDelete    ID = classExchange<<16 | 20
	IDExchangeDeleteOk  ID = classExchange<<16 | 21
	IDExchangeBind      ID = classExchange<<16 | 30
	IDExchangeBindOk    ID = classExchange<<16 | 31
	IDExchangeUnbind    ID = classExchange<<16 | 40
	IDExchangeUnbindOk  ID = classExchange<<16 | 51

	IDQueueDeclare   ID = classQueue<<16 | 10
	IDQueueDeclareOk ID = classQueue<<16 | 11
	IDQueueBind      ID = classQueue<<16 | 20
	IDQueueBindOk    ID = classQueue<<16 | 21
	IDQueuePurge     ID = classQueue<<16 | 30
	IDQueuePurgeOk   ID = classQueue<<16 | 31
	IDQueueDelete    ID = classQueue<<16 | 40
	IDQueueDeleteOk  ID = classQueue<<16 | 41
	IDQueueUnbind    ID = classQueue<<16 | 50
	IDQueueUnbindOk  ID = classQueue<<16 | 51

	IDBasicQos          ID = classBasic<<16 | 10
	IDBasicQosOk        ID = classBasic<<16 | 11
	IDBasicConsume      ID = classBasic<<16 | 20
	IDBasicConsumeOk    ID = classBasic<<16 | 21
	IDBasicCancel       ID = classBasic<<16 | 30
	IDBasicCancelOk     ID = classBasic<<16 | 31
	IDBasicPublish      ID = classBasic<<16 | 40
	IDBasicReturn       ID = classBasic<<16 | 50
	IDBasicDeliver      ID = classBasic<<16 | 60
	IDBasicGet          ID = classBasic<<16 | 70
	IDBasicGetOk        ID = classBasic<<16 | 71
	IDBasicGetEmpty     ID = classBasic<<16 | 72
	IDBasicAck          ID = classBasic<<16 | 80
	IDBasicReject       ID = classBasic<<16 | 90
	IDBasicRecoverAsync ID = classBasic<<16 | 100
	IDBasicRecover      ID = classBasic<<16 | 110
	IDBasicRecoverOk    ID = classBasic<<16 | 111
	IDBasicNack         ID = classBasic<<16 | 120

	IDConfirmSelect   ID = classConfirm<<16 | 10
	IDConfirmSelectOk ID = classConfirm<<16 | 11

	IDTxSelect     ID = classTx<<16 | 10
	IDTxSelectOk   ID = classTx<<16 | 11
	IDTxCommit     ID = classTx<<16 | 20
	IDTxCommitOk   ID = classTx<<16 | 21
	IDTxRollback   ID = classTx<<16 | 30
	IDTxRollbackOk ID = classTx<<16 | 31
)

// Method is one of the structs below.
type Method interface {
	ID() ID
	walk(*coder)
}

// SplitMethod splits the payload of a method frame; ok is false if it is too
// short to name its method.
func SplitMethod(payload []byte) (id ID, args []byte, ok bool) {
	if len(payload) < 4 {
		return 0, nil, false
	}
	return ID(binary.BigEndian.Uint32(payload)), payload[4:], true
}

// Parse reads the arguments of a method into m, whose byte slices then alias
// them. Every field of m is overwritten. ErrMalformed is the only error.
func Parse(m Method, args []byte) error {
	c := coder{b: args}
	m.walk(&c)
	return c.end(m.ID())
}
