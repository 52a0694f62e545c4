// Round trips of amqplib; prints "ok NAME" or "FAIL NAME why".
'use strict'
const assert = require('assert')
const amqp = require('amqplib')

const [address, ...skipped] = process.argv.slice(2)
const tests = {
  async confirmsAndOrder (connection) {
    const ch = await connection.createConfirmChannel()
    await ch.assertQueue('js-order')
    for (let i = 0; i < 1000; i++) ch.sendToQueue('js-order', Buffer.from(String(i)), { persistent: true, headers: { i } })
    await ch.waitForConfirms()
    await ch.prefetch(50)
    const got = []
    await new Promise((resolve, reject) => {
      ch.consume('js-order', m => {
        got.push(Number(m.content.toString()))
        assert.strictEqual(m.properties.headers.i, got.length - 1)
        ch.ack(m)
        if (got.length === 1000) resolve()
      }).catch(reject)
    })
    assert.deepStrictEqual(got, [...Array(1000).keys()])
    await ch.close()
  },
  async rpcByDirectReplies (connection) {
    const server = await connection.createChannel()
    await server.assertQueue('js-rpc')
    await server.consume('js-rpc', m => {
      server.sendToQueue(m.properties.replyTo, Buffer.from(m.content.toString().toUpperCase()), { correlationId: m.properties.correlationId })
      server.ack(m)
    })
    const client = await connection.createChannel()
    const answer = new Promise(resolve => client.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }))
    client.sendToQueue('js-rpc', Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' })
    const m = await answer
    assert.strictEqual(m.content.toString(), 'QUESTION')
    assert.strictEqual(m.properties.correlationId, '7')
  },
  async fanoutAndRequeue (connection) {
    const ch = await connection.createChannel()
    await ch.assertExchange('js-fanout', 'fanout')
    const queues = []
    for (let i = 0; i < 3; i++) {
      const q = await ch.assertQueue('', { exclusive: true })
      await ch.bindQueue(q.queue, 'js-fanout', '')
      queues.push(q.queue)
    }
    ch.publish('js-fanout', '', Buffer.from('all'))
    for (const q of queues) {
      const m = await ch.get(q)
      assert.strictEqual(m.fields.redelivered, false)
      ch.nack(m)
      const again = await ch.get(q)
      assert.strictEqual(again.fields.redelivered, true)
      ch.ack(again)
    }
    await ch.close()
  },
  async errorsCloseTheChannel (connection) {
    const ch = await connection.createChannel()
    ch.on('error', () => {})
    await assert.rejects(ch.checkQueue('js-none'), /404/)
  },
  async updatesItsSecret (connection) {
    await connection.updateSecret(Buffer.from('guest'), 'a test')
  }
}

async function main () {
  const connection = await amqp.connect(`amqp://guest:guest@${address}`)
  for (const [name, test] of Object.entries(tests)) {
    if (skipped.includes(name)) continue
    try {
      await test(connection)
      console.log('ok', name)
    } catch (e) {
      console.log('FAIL', name, e.message)
    }
  }
  await connection.close()
}

main().catch(e => { console.error(e); process.exit(1) })
