// Round trips through @confluentinc/kafka-javascript, KafkaJS's successor with
// librdkafka inside; prints "ok NAME" or "FAIL NAME why".
const { Kafka, logLevel, CompressionTypes } = require("@confluentinc/kafka-javascript").KafkaJS;
const assert = require("node:assert");

const kafka = new Kafka({ kafkaJS: { brokers: [process.argv[2]], logLevel: logLevel.NOTHING } });
const deadline = 60000;

const withAdmin = async (fn) => {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await fn(admin);
  } finally {
    await admin.disconnect();
  }
};

// consume joins a group and reads until enough says so.
const consume = async (topic, groupId, enough, { members = 1, readUncommitted = false } = {}) => {
  const got = [];
  const consumers = [];
  let finish, fail;
  const finished = new Promise((done, failed) => { finish = done; fail = failed; });
  const timer = setTimeout(() => fail(new Error(`in vain, after ${got.length} records`)), deadline);
  for (let i = 0; i < members; i++) {
    const c = kafka.consumer({ kafkaJS: { groupId, fromBeginning: true, readUncommitted, autoCommit: true } });
    consumers.push(c);
    await c.connect();
    await c.subscribe({ topic });
    await c.run({
      eachMessage: async ({ partition, message }) => {
        got.push({ member: i, partition, ...message });
        if (enough(got)) finish();
      },
    });
  }
  try {
    await finished;
  } finally {
    clearTimeout(timer);
    for (const c of consumers) await c.disconnect();
  }
  return got;
};

const produce = async (topic, n, config = {}, prefix = "v") => {
  const p = kafka.producer({ kafkaJS: config });
  await p.connect();
  const messages = Array.from({ length: n }, (_, i) => ({ key: `k${i}`, value: `${prefix}${i}`, headers: { a: "b" } }));
  await p.send({ topic, messages });
  await p.disconnect();
};

const make = (topic, numPartitions) => withAdmin((a) => a.createTopics({ topics: [{ topic, numPartitions }] }));

const roundTrip = (name, config) => async () => {
  const topic = `cjs-${name}`;
  await make(topic, 3);
  await produce(topic, 1000, config);
  const got = await consume(topic, topic, (g) => g.length >= 1000);
  assert.strictEqual(new Set(got.map((m) => m.value.toString())).size, 1000);
  assert.strictEqual(got[0].headers.a.toString(), "b");
};

const members = async () => {
  await make("cjs-members", 6);
  await produce("cjs-members", 100);
  let more = false;
  const got = await consume("cjs-members", "cjs-members", (g) => {
    // Both have joined once the records of the second batch come to both.
    if (g.length >= 100 && !more) {
      more = true;
      setTimeout(() => produce("cjs-members", 300, {}, "w"), 8000);
    }
    return new Set(g.map((m) => m.value.toString())).size === 400;
  }, { members: 2 });
  const second = got.filter((m) => m.value.toString().startsWith("w"));
  assert.strictEqual(new Set(second.map((m) => m.member)).size, 2);
};

const resume = async () => {
  await make("cjs-resume", 1);
  await produce("cjs-resume", 10);
  await consume("cjs-resume", "cjs-resume", (g) => g.length >= 10);
  await produce("cjs-resume", 5, {}, "w");
  const got = await consume("cjs-resume", "cjs-resume", (g) => g.length >= 5);
  assert.deepStrictEqual(got.map((m) => m.value.toString()), ["w0", "w1", "w2", "w3", "w4"]);
};

const transaction = async () => {
  await make("cjs-txn", 1);
  const p = kafka.producer({ kafkaJS: { transactionalId: "cjs" } });
  await p.connect();
  for (const value of ["out", "in"]) {
    const t = await p.transaction();
    await t.send({ topic: "cjs-txn", messages: [{ value }] });
    await (value === "in" ? t.commit() : t.abort());
  }
  await p.disconnect();
  const [m] = await consume("cjs-txn", "cjs-txn", (g) => g.length >= 1);
  assert.strictEqual(m.value.toString(), "in");
};

const administration = () => withAdmin(async (admin) => {
  await admin.createTopics({ topics: [{ topic: "cjs-admin", numPartitions: 2 }] });
  assert.ok((await admin.listTopics()).includes("cjs-admin"));
  const [topic] = await admin.fetchTopicMetadata({ topics: ["cjs-admin"] });
  assert.strictEqual(topic.partitions.length, 2);
  await produce("cjs-admin", 10);
  const ends = await admin.fetchTopicOffsets("cjs-admin");
  assert.strictEqual(ends.reduce((sum, p) => sum + Number(p.high), 0), 10);
  await consume("cjs-admin", "cjs-admin", (g) => g.length >= 10);
  const [offsets] = await admin.fetchOffsets({ groupId: "cjs-admin", topics: ["cjs-admin"] });
  assert.strictEqual(offsets.partitions.reduce((sum, p) => sum + Number(p.offset), 0), 10);
  assert.ok((await admin.listGroups()).groups.some((g) => g.groupId === "cjs-admin"));
  const { groups } = await admin.describeGroups(["cjs-admin"]);
  assert.strictEqual(groups[0].groupId, "cjs-admin");
  await admin.deleteTopicRecords({ topic: "cjs-admin", partitions: ends.map((p) => ({ partition: p.partition, offset: p.high })) });
  await admin.deleteGroups(["cjs-admin"]);
  await admin.deleteTopics({ topics: ["cjs-admin"] });
});

const tests = {
  none: roundTrip("none", {}),
  gzip: roundTrip("gzip", { compression: CompressionTypes.GZIP, idempotent: true }),
  snappy: roundTrip("snappy", { compression: CompressionTypes.SNAPPY }),
  lz4: roundTrip("lz4", { compression: CompressionTypes.LZ4 }),
  members,
  resume,
  transaction,
  admin: administration,
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    if (process.argv.includes(name)) continue;
    try {
      await test();
      console.log("ok", name);
    } catch (why) {
      console.log("FAIL", name, String(why.stack ?? why).split("\n").slice(0, 2).join(" "));
    }
  }
  process.exit(0);
})();
