"""Round trips of RabbitMQ's Python clients and a Celery application; prints "ok NAME" or "FAIL NAME why"."""

import os
import subprocess
import sys
import time

ADDR = sys.argv[1]
HOST, PORT = ADDR.split(":")
DEADLINE = 60


def expect(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def connect():
    import pika

    return pika.BlockingConnection(pika.ConnectionParameters(HOST, int(PORT)))


def pika_confirms_and_order():
    import pika

    with connect() as c:
        ch = c.channel()
        ch.queue_declare("pk-order", durable=True)
        ch.confirm_delivery()
        for i in range(500):
            ch.basic_publish("", "pk-order", b"%d" % i, pika.BasicProperties(delivery_mode=2, headers={"i": i}), mandatory=True)
        ch.basic_qos(prefetch_count=20)
        got = []
        for method, props, body in ch.consume("pk-order", inactivity_timeout=DEADLINE):
            got.append((body, props.headers["i"], method.redelivered))
            ch.basic_ack(method.delivery_tag)
            if len(got) == 500:
                break
        expect(got, [(b"%d" % i, i, False) for i in range(500)])


def pika_returns():
    import pika

    with connect() as c:
        ch = c.channel()
        ch.confirm_delivery()
        try:
            ch.basic_publish("", "pk-nowhere", b"x", mandatory=True)
        except pika.exceptions.UnroutableError:
            return
        raise AssertionError("not returned")


def pika_topics_and_headers():
    with connect() as c:
        ch = c.channel()
        ch.exchange_declare("pk-topic", "topic")
        queue = ch.queue_declare("", exclusive=True).method.queue
        ch.queue_bind(queue, "pk-topic", "*.error.#")
        for key in ("app.error", "app.error.disk", "app.info", "error"):
            ch.basic_publish("pk-topic", key, key.encode())
        expect([ch.basic_get(queue, True)[2] for _ in range(3)], [b"app.error", b"app.error.disk", None])


def pika_priorities():
    import pika

    with connect() as c:
        ch = c.channel()
        ch.queue_declare("pk-prio", arguments={"x-max-priority": 10})
        for p in (1, 9, 5, 0):
            ch.basic_publish("", "pk-prio", b"%d" % p, pika.BasicProperties(priority=p))
        expect([ch.basic_get("pk-prio", True)[2] for _ in range(4)], [b"9", b"5", b"1", b"0"])


def pika_dead_letters():
    import pika

    with connect() as c:
        ch = c.channel()
        ch.queue_declare("pk-dead")
        ch.queue_declare("pk-ttl", arguments={"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "pk-dead"})
        ch.basic_publish("", "pk-ttl", b"x")
        for _, props, body in ch.consume("pk-dead", inactivity_timeout=DEADLINE):
            expect((body, props.headers["x-death"][0]["reason"]), (b"x", "expired"))
            return


def pika_streams():
    with connect() as c:
        ch = c.channel()
        ch.queue_declare("pk-stream", durable=True, arguments={"x-queue-type": "stream"})
        ch.confirm_delivery()
        for i in range(100):
            ch.basic_publish("", "pk-stream", b"%d" % i)
        ch.basic_qos(prefetch_count=10)
        for start in ("first", 60):  # the same again
            got = []
            for method, props, body in ch.consume("pk-stream", arguments={"x-stream-offset": start}, inactivity_timeout=DEADLINE):
                got.append((props.headers["x-stream-offset"], body))
                ch.basic_ack(method.delivery_tag)
                if len(got) == 100 - (start if start != "first" else 0):
                    break
            ch.cancel()
            expect(got, [(i, b"%d" % i) for i in range(100 - len(got), 100)])


def pika_errors():
    import pika

    with connect() as c:
        for code, fn in (
            (404, lambda ch: ch.queue_declare("pk-none", passive=True)),
            (403, lambda ch: ch.exchange_declare("amq.mine", "direct")),
            (406, lambda ch: ch.exchange_declare("amq.topic", "direct", durable=True)),
        ):
            try:
                fn(c.channel())
            except pika.exceptions.ChannelClosedByBroker as e:
                expect(e.reply_code, code)
            else:
                raise AssertionError("no error %d" % code)


def kombu_simple_queue():
    from kombu import Connection

    with Connection("amqp://guest:guest@%s//" % ADDR) as c:
        queue = c.SimpleQueue("kb-simple")
        for i in range(10):
            queue.put({"i": i})
        got = []
        for _ in range(10):
            m = queue.get(timeout=DEADLINE)
            got.append(m.payload["i"])
            m.ack()
        queue.close()
        expect(got, list(range(10)))


APP = """
import time
from celery import Celery
from kombu import Queue
app = Celery("tasks", broker="amqp://guest:guest@%s//", backend="rpc://")
app.conf.task_queues = [Queue("celery", queue_arguments={"x-max-priority": 10})]
app.conf.broker_connection_retry_on_startup = True
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1
order = []
@app.task
def add(x, y): return x + y
@app.task(bind=True, max_retries=5)
def flaky(self, fails):
    if self.request.retries < fails: raise self.retry(countdown=0.1)
    return self.request.retries
@app.task
def slow(): time.sleep(1)
@app.task
def note(n): order.append(n)
@app.task
def noted(): return list(order)
@app.task
def when(): return time.time()
"""


class Celery:
    """A Celery application with a worker, begun on first use."""

    worker = app = None

    @classmethod
    def start(cls):
        if cls.worker is None:
            with open("tasks.py", "w") as f:
                f.write(APP % ADDR)
            cls.worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-P", "solo", "--loglevel", "WARNING"],
                stdout=sys.stderr, stderr=sys.stderr)
            sys.path.insert(0, os.getcwd())
            import tasks
            cls.app = tasks
        return cls.app

    @classmethod
    def stop(cls):
        if cls.worker is not None:
            cls.worker.terminate()
            cls.worker.wait(DEADLINE)


def celery_results():
    app = Celery.start()
    expect([r.get(timeout=DEADLINE) for r in [app.add.delay(i, i) for i in range(20)]], [2 * i for i in range(20)])


def celery_retries():
    expect(Celery.start().flaky.delay(3).get(timeout=DEADLINE), 3)


def celery_eta():
    began = time.time()
    ran = Celery.start().when.apply_async(countdown=2).get(timeout=DEADLINE)
    if ran - began < 1.9:
        raise AssertionError("it ran after %.2f s" % (ran - began))


def celery_priorities():
    app = Celery.start()
    first = app.slow.delay()  # keeps the worker while the others queue up
    for p in (0, 3, 9, 5, 9):
        app.note.apply_async(args=[p], priority=p)
    first.get(timeout=DEADLINE)
    got = app.noted.delay().get(timeout=DEADLINE)
    # One may have been prefetched before the others came.
    expect(got[1:] == sorted(got[1:], reverse=True) and sorted(got), [0, 3, 5, 9, 9])


def celery_inspects_its_worker():
    app = Celery.start()
    expect(list(app.app.control.ping(timeout=5))[0].popitem()[1], {"ok": "pong"})


TESTS = [pika_confirms_and_order, pika_returns, pika_topics_and_headers, pika_priorities, pika_dead_letters, pika_streams, pika_errors,
         kombu_simple_queue, celery_results, celery_retries, celery_eta, celery_priorities, celery_inspects_its_worker]

for test in TESTS:
    name = test.__name__
    if name in sys.argv[2:]:
        continue
    try:
        test()
        print("ok", name, flush=True)
    except BaseException as e:
        print("FAIL", name, repr(e), flush=True)
Celery.stop()
