package broker

type consumerState struct{}

type publishing struct{}

const soon = "broker: queues are being built"

func (b *Broker) closeSession(*Session, func())                          { panic(soon) }
func (q *Queue) consume(*Consumer, func(*Consumer, error))               { panic(soon) }
func (c *Consumer) grant(int32)                                          { panic(soon) }
func (c *Consumer) limit(int32)                                          { panic(soon) }
func (c *Consumer) cancel(func())                                        { panic(soon) }
func (q *Queue) get(*Session, bool, func(*Delivery, int64, bool, error)) { panic(soon) }
func (b *Broker) settle(*Session, Verdict, []LeaseID, func(error))       { panic(soon) }
func (q *Queue) purge(func(int64, error))                                { panic(soon) }
func (b *Broker) publish(*Publish)                                       { panic(soon) }
