// Round trips through KafkaJS; prints "ok NAME" or "FAIL NAME why".
const { Kafka, logLevel, CompressionTypes } = require("kafkajs");
const assert = require("node:assert");

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR });
const deadline = 60000;

const consume = async (topic, n, options = {}) => {
  const c = kafka.consumer({ groupId: topic, ...options });
  await c.connect();
  await c.subscribe({ topic, fromBeginning: true });
  const got = [];
  await new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`got ${got.length} of ${n} records`)), deadline);
    c.run({
      eachMessage: async ({ message }) => {
        if (got.push(message) === n) {
          clearTimeout(timer);
          done();
        }
      },
    });
  });
  await c.disconnect();
  return got;
};

const roundTrip = (name, compression, idempotent) => async () => {
  const topic = `js-${name}`;
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true });
  const p = kafka.producer({ idempotent });
  await p.connect();
  for (let i = 0; i < 20; i++) {
    const messages = Array.from({ length: 100 }, (_, j) => ({ key: `k${j}`, value: `v${i * 100 + j}`, headers: { a: "b" } }));
    await p.send({ topic, compression, messages });
  }
  await p.disconnect();
  const got = await consume(topic, 2000);
  assert.strictEqual(new Set(got.map((m) => m.value.toString())).size, 2000);
  assert.strictEqual(got[0].headers.a.toString(), "b");
  const ends = await admin.fetchTopicOffsets(topic);
  assert.strictEqual(ends.reduce((sum, p) => sum + Number(p.offset), 0), 2000);
  await admin.disconnect();
};

const administration = async () => {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: "js-admin", numPartitions: 1, configEntries: [{ name: "retention.ms", value: "123456" }] }] });
  await admin.createPartitions({ topicPartitions: [{ topic: "js-admin", count: 3 }] });
  const { topics } = await admin.fetchTopicMetadata({ topics: ["js-admin"] });
  assert.strictEqual(topics[0].partitions.length, 3);
  const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: 2, name: "js-admin" }] });
  assert.strictEqual(resources[0].configEntries.find((c) => c.configName === "retention.ms").configValue, "123456");
  await admin.setOffsets({ groupId: "js-admin", topic: "js-admin", partitions: [{ partition: 0, offset: "0" }] });
  const offsets = await admin.fetchOffsets({ groupId: "js-admin", topics: ["js-admin"] });
  assert.strictEqual(offsets[0].partitions.find((p) => p.partition === 0).offset, "0");
  assert.ok((await admin.listGroups()).groups.some((g) => g.groupId === "js-admin"));
  await admin.deleteGroups(["js-admin"]);
  await admin.deleteTopics({ topics: ["js-admin"] });
  await admin.disconnect();
};

const transaction = async () => {
  const p = kafka.producer({ transactionalId: "js-txn", maxInFlightRequests: 1, idempotent: true });
  await p.connect();
  for (const value of ["out", "in"]) {
    const t = await p.transaction();
    await t.send({ topic: "js-txn", messages: [{ value }] });
    await (value === "in" ? t.commit() : t.abort());
  }
  await p.disconnect();
  const [m] = await consume("js-txn", 1, { readUncommitted: false });
  assert.strictEqual(m.value.toString(), "in");
};

const tests = {
  "kafkajs/none": roundTrip("none", CompressionTypes.None, false),
  "kafkajs/gzip-idempotent": roundTrip("gzip", CompressionTypes.GZIP, true),
  "kafkajs/admin": administration,
  "kafkajs/transaction": transaction,
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    if (process.argv.includes(name)) continue;
    try {
      await test();
      console.log("ok", name);
    } catch (why) {
      console.log("FAIL", name, String(why).split("\n")[0]);
    }
  }
  process.exit(0);
})();
