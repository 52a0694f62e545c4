// A NestJS application over RabbitMQ's transport, as its guide has it, with the
// default settings: services and their callers in one process. Prints "ok NAME" or
// "FAIL NAME why"; "kill" asks for the server to be killed and started again, which
// is done when a line comes on the standard input.
import 'reflect-metadata'
import assert from 'node:assert'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { inspect } from 'node:util'
import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import {
  ClientProxyFactory, Ctx, EventPattern, MessagePattern, type MicroserviceOptions, Payload, RmqContext, RmqRecordBuilder, RpcException, Transport
} from '@nestjs/microservices'
import { firstValueFrom, timeout } from 'rxjs'

const [address] = process.argv.slice(2)
const urls = [`amqp://guest:guest@${address}`]
const limit = 30_000

// What the services have seen, by the name of the service.
const seen: Record<string, any[]> = { events: [], jobs: [], dead: [], orders: [] }

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

async function until (what: string, holds: () => boolean) {
  for (const end = Date.now() + limit; !holds();) {
    if (Date.now() > end) throw new Error(`${what} does not come: ${JSON.stringify(seen)}`)
    await pause(10)
  }
}

async function retry (act: () => Promise<any>) {
  for (const end = Date.now() + limit; ;) {
    try {
      await act()
      return
    } catch (e) {
      if (Date.now() > end) throw e
      await pause(100)
    }
  }
}

@Controller()
class Calculator {
  @MessagePattern({ cmd: 'sum' })
  sum (@Payload() numbers: number[]) { return numbers.reduce((a, b) => a + b, 0) }

  @MessagePattern('fail')
  fail () { throw new RpcException('refused') }

  @EventPattern('happened')
  happened (@Payload() n: number) { seen.events.push(n) }
}

@Controller()
class Worker {
  @EventPattern('job')
  job (@Payload() name: string, @Ctx() context: RmqContext) {
    const message = context.getMessage() as any
    seen.jobs.push([name, message.fields.redelivered, message.properties.headers?.tenant])
    const again = name === 'again' && !message.fields.redelivered
    if (again || name === 'poison') context.getChannelRef().nack(message, false, again)
    else context.getChannelRef().ack(message)
  }
}

@Controller()
class Undertaker {
  @EventPattern('job')
  dead (@Payload() name: string, @Ctx() context: RmqContext) {
    seen.dead.push([name, (context.getMessage() as any).properties.headers['x-first-death-queue']])
  }
}

@Controller()
class Orders {
  @EventPattern('order.*.paid')
  paid (@Payload() id: number, @Ctx() context: RmqContext) { seen.orders.push([id, (context.getMessage() as any).fields.routingKey]) }
}

@Module({ controllers: [Calculator] }) class CalculatorModule {}
@Module({ controllers: [Worker] }) class WorkerModule {}
@Module({ controllers: [Undertaker] }) class UndertakerModule {}
@Module({ controllers: [Orders] }) class OrdersModule {}

async function serve (module: any, options: object) {
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    transport: Transport.RMQ, options: { urls, ...options }, logger: ['error', 'warn']
  } as MicroserviceOptions)
  await app.listen()
  return app
}

const client = (options: object) => ClientProxyFactory.create({ transport: Transport.RMQ, options: { urls, ...options } })
const calculator = client({ queue: 'nest-calculator' })
const jobs = client({ queue: 'nest-jobs', queueOptions: { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'nest-dead' } } })
const orders = client({ exchange: 'nest-orders', exchangeType: 'topic', wildcards: true })

const sum = (patience: number, ...numbers: number[]) => firstValueFrom(calculator.send({ cmd: 'sum' }, numbers).pipe(timeout(patience)))

const tests: Record<string, () => Promise<void>> = {
  async calls () {
    assert.strictEqual(await sum(limit, 1, 2, 3), 6)
    const many = await Promise.all([...Array(200).keys()].map(i => sum(limit, i, i)))
    assert.deepStrictEqual(many, [...Array(200).keys()].map(i => 2 * i))
  },
  async errorsOfCalls () {
    await firstValueFrom(calculator.send('fail', {}).pipe(timeout(limit))).then(assert.fail, e => assert.strictEqual(e.message ?? e, 'refused'))
  },
  async eventsInOrder () {
    for (let i = 0; i < 500; i++) await firstValueFrom(calculator.emit('happened', i))
    await until('500 events', () => seen.events.length >= 500)
    assert.deepStrictEqual(seen.events, [...Array(500).keys()])
  },
  async acksAndRedelivery () {
    await firstValueFrom(jobs.emit('job', new RmqRecordBuilder('again').setOptions({ headers: { tenant: 'a' }, persistent: true }).build()))
    await until('the job again', () => seen.jobs.length >= 2)
    assert.deepStrictEqual(seen.jobs, [['again', false, 'a'], ['again', true, 'a']])
  },
  async deadLetters () {
    await firstValueFrom(jobs.emit('job', 'poison'))
    await until('the dead letter', () => seen.dead.length >= 1)
    assert.deepStrictEqual(seen.dead, [['poison', 'nest-jobs']])
  },
  async wildcards () {
    for (const key of ['order.7.paid', 'order.7.sent', 'order.8.paid']) await firstValueFrom(orders.emit(key, Number(key.split('.')[1])))
    await until('the orders', () => seen.orders.length >= 2)
    assert.deepStrictEqual(seen.orders, [[7, 'order.7.paid'], [8, 'order.8.paid']])
  },
  async reconnects () {
    const lines = createInterface({ input: process.stdin })
    for (let round = 0; round < 3; round++) {
      console.log('kill')
      await once(lines, 'line')
      // Every service and caller connects again by itself. A call or an event that
      // finds its connection broken fails, so they are repeated.
      await retry(async () => assert.strictEqual(await sum(2_000, round, 1), round + 1))
      await retry(() => firstValueFrom(jobs.emit('job', 'poison')))
      await retry(() => firstValueFrom(orders.emit(`order.${round}.paid`, round)))
      await until('the job', () => seen.dead.length >= round + 2)
      await until('the order', () => seen.orders.length >= round + 3)
    }
    lines.close()
  }
}

async function main () {
  const apps = [
    await serve(CalculatorModule, { queue: 'nest-calculator' }),
    await serve(WorkerModule, { queue: 'nest-jobs', noAck: false, prefetchCount: 1, queueOptions: { arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'nest-dead' } } }),
    await serve(UndertakerModule, { queue: 'nest-dead' }),
    await serve(OrdersModule, { queue: 'nest-orders-paid', exchange: 'nest-orders', exchangeType: 'topic', wildcards: true })
  ]
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test()
      console.log('ok', name)
    } catch (e: any) {
      console.log('FAIL', name, e.message ?? inspect(e))
    }
  }
  for (const c of [calculator, jobs, orders]) await c.close()
  for (const app of apps) await app.close()
  process.exit(0)
}

main().catch(e => { console.error(e); process.exit(1) })
