"""Round trips through Python's Kafka clients; prints "ok NAME" or "FAIL NAME why"."""

import asyncio
import sys
import time

ADDR = sys.argv[1]
DEADLINE = 60


def expect(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def ck_consume(topic, n, **config):
    from confluent_kafka import Consumer

    c = Consumer({"bootstrap.servers": ADDR, "group.id": topic, "auto.offset.reset": "earliest", **config})
    c.subscribe([topic])
    got, end = [], time.time() + DEADLINE
    while len(got) < n and time.time() < end:
        for m in c.consume(1000, 1.0):
            if m.error():
                raise AssertionError(m.error())
            got.append((m.key(), m.value(), m.headers()))
    c.commit(asynchronous=False)
    c.close()
    return got


def ck_produce(topic, n, **config):
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": ADDR})
    for f in admin.create_topics([NewTopic(topic, 3, 1)]).values():
        f.result()
    p = Producer({"bootstrap.servers": ADDR, **config})
    for i in range(n):
        p.produce(topic, key=b"k%d" % (i % 10), value=b"v%d" % i, headers=[("h", b"1")])
        p.poll(0)
    expect(p.flush(DEADLINE), 0)


def ck(codec):
    def run():
        topic = "ck-" + codec
        ck_produce(topic, 5000, **{"compression.type": codec, "enable.idempotence": True})
        got = ck_consume(topic, 5000)
        expect(sorted(v for _, v, _ in got), sorted(b"v%d" % i for i in range(5000)))
        expect(got[0][2], [("h", b"1")])

    return run


def ck_cooperative():
    ck_produce("ck-coop", 1000)
    expect(len(ck_consume("ck-coop", 1000, **{"partition.assignment.strategy": "cooperative-sticky", "group.instance.id": "one"})), 1000)


def ck_transaction():
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": ADDR})
    for f in admin.create_topics([NewTopic("ck-txn", 1, 1)]).values():
        f.result()
    p = Producer({"bootstrap.servers": ADDR, "transactional.id": "ck-txn"})
    p.init_transactions(DEADLINE)
    for commit in (False, True):
        p.begin_transaction()
        for i in range(100):
            p.produce("ck-txn", value=b"%d" % commit)
        (p.commit_transaction if commit else p.abort_transaction)(DEADLINE)
    expect([v for _, v, _ in ck_consume("ck-txn", 100, **{"isolation.level": "read_committed"})], [b"1"] * 100)


def ck_admin():
    from confluent_kafka import ConsumerGroupTopicPartitions
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions

    ck_produce("ck-admin", 10)
    ck_consume("ck-admin", 10)
    a = AdminClient({"bootstrap.servers": ADDR})
    for f in a.create_partitions([NewPartitions("ck-admin", 5)]).values():
        f.result()
    expect(len(a.list_topics("ck-admin").topics["ck-admin"].partitions), 5)
    for f in a.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "ck-admin")]).values():
        expect(f.result()["cleanup.policy"].value, "delete")
    if "ck-admin" not in [g.group_id for g in a.list_consumer_groups().result().valid]:
        raise AssertionError("the group is not listed")
    for f in a.describe_consumer_groups(["ck-admin"]).values():
        expect(f.result().state.name, "EMPTY")
    for f in a.list_consumer_group_offsets([ConsumerGroupTopicPartitions("ck-admin")]).values():
        expect(sum(p.offset for p in f.result().topic_partitions if p.offset > 0), 10)
    for f in a.delete_consumer_groups(["ck-admin"]).values():
        f.result()
    for f in a.delete_topics(["ck-admin"]).values():
        f.result()


def kp(codec):
    def run():
        from kafka import KafkaConsumer, KafkaProducer

        topic = "kp-%s" % codec
        p = KafkaProducer(bootstrap_servers=ADDR, acks="all", compression_type=codec)
        for i in range(2000):
            p.send(topic, key=b"k%d" % (i % 7), value=b"v%d" % i, headers=[("h", b"1")])
        p.flush()
        p.close()
        c = KafkaConsumer(topic, bootstrap_servers=ADDR, group_id=topic, auto_offset_reset="earliest", consumer_timeout_ms=1000 * DEADLINE)
        got = sorted(m.value for _, m in zip(range(2000), c))
        c.close()
        expect(got, sorted(b"v%d" % i for i in range(2000)))

    return run


def kp_admin():
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    a = KafkaAdminClient(bootstrap_servers=ADDR)
    a.create_topics([NewTopic("kp-admin", 2, 1)])
    if "kp-admin" not in a.list_topics():
        raise AssertionError("the topic is not listed")
    a.describe_cluster()
    a.delete_topics(["kp-admin"])
    a.close()


def aio(codec):
    async def trip():
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

        topic = "aio-%s" % codec
        p = AIOKafkaProducer(bootstrap_servers=ADDR, enable_idempotence=True, compression_type=codec)
        await p.start()
        await asyncio.gather(*[await p.send(topic, b"v%d" % i) for i in range(2000)])
        await p.stop()
        c = AIOKafkaConsumer(topic, bootstrap_servers=ADDR, group_id=topic, auto_offset_reset="earliest")
        await c.start()
        got, end = [], time.time() + DEADLINE
        while len(got) < 2000 and time.time() < end:
            for ms in (await c.getmany(timeout_ms=1000)).values():
                got += [m.value for m in ms]
        await c.stop()
        expect(got, [b"v%d" % i for i in range(2000)])

    return lambda: asyncio.run(trip())


def aio_transaction():
    async def trip():
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

        p = AIOKafkaProducer(bootstrap_servers=ADDR, transactional_id="aio-txn")
        await p.start()
        async with p.transaction():
            await p.send_and_wait("aio-txn", b"in")
        await p.stop()
        c = AIOKafkaConsumer("aio-txn", bootstrap_servers=ADDR, auto_offset_reset="earliest", isolation_level="read_committed")
        await c.start()
        m = await asyncio.wait_for(c.getone(), DEADLINE)
        await c.stop()
        expect(m.value, b"in")

    asyncio.run(trip())


TESTS = {
    **{"confluent-kafka/" + codec: ck(codec) for codec in ("none", "gzip", "snappy", "lz4", "zstd")},
    "confluent-kafka/cooperative-static": ck_cooperative,
    "confluent-kafka/admin": ck_admin,
    "confluent-kafka/transaction": ck_transaction,
    **{"kafka-python/%s" % codec: kp(codec) for codec in (None, "gzip")},
    "kafka-python/admin": kp_admin,
    **{"aiokafka/%s" % codec: aio(codec) for codec in (None, "gzip")},
    "aiokafka/transaction": aio_transaction,
}

for name, test in TESTS.items():
    if name in sys.argv[2:]:
        continue
    try:
        test()
        print("ok", name, flush=True)
    except Exception as why:
        print("FAIL", name, repr(why), flush=True)
