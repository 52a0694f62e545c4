package dedup

const (
	// batches is how many of a producer's last batches are remembered: as many
	// as a Kafka producer may have in flight.
	batches = 5
	// ExpiryMs is how long a silent producer is remembered, in ms
	// (producer.id.expiration.ms).
	ExpiryMs = 24 * 60 * 60 * 1000
	// lookMs is how finely expiry is judged, in ms, so that many producers
	// share a tick.
	lookMs = 60_000
	// leavesPerTick is how many leaves one tick looks at before it leaves the
	// rest to the next.
	leavesPerTick = 64
	// MaxProducers bounds the (partition, producer) pairs of a shard. Beyond
	// it, those that have been silent longest are forgotten early. It takes
	// some 200 MB.
	MaxProducers = 1 << 20
	// slotsPerLeaf is the number of producers in a page of the checkpoint: the
	// bits of a word, few enough that a lone busy producer rewrites little.
	slotsPerLeaf = 64
	// pageVersion begins the value of every checkpoint page; firstVersion is the
	// first that is read. Version 1 has no epochs of coordinators.
	pageVersion  = 2
	firstVersion = 1
)
