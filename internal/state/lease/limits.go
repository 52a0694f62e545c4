package lease

// Limits.
const (
	// maxName bounds the names in settings, maxSettings their encoding, in bytes.
	maxName     = 255
	maxSettings = 4096
	// maxChanges bounds the sets that one report tells of, maxItems what it tells
	// of one set in each list, maxDeaths the records of one death.
	maxChanges = 1 << 20
	maxItems   = 1 << 20
	maxDeaths  = 1 << 16
	// maxAttempts is where the count of a record's returns stops.
	maxAttempts = 1<<16 - 1

	// pageVersion begins the value of every page.
	pageVersion = 1
	// manySpans is above how many spans of a chunk a bitmap is kept and written
	// instead, fewSpans below how many it is given up. asBitmap stands on a page
	// for the number of spans that is one.
	manySpans = 512
	fewSpans  = 128
	asBitmap  = chunkSize + 1
	// ttlsPerPage and deadPerPage bound what a page holds.
	ttlsPerPage = 512
	deadPerPage = 512
	// loansPerPage is how many consecutive offsets a page of loans tells of,
	// maxOwner bounds the name of an owner, in bytes.
	loansPerPage = 512
	maxOwner     = 255
	// endsPerTick bounds the loans that end in one entry. leastEnds is from how
	// many deadlines on those that no longer count are looked for.
	endsPerTick = 4096
	leastEnds   = 1024
	// maxMoved bounds the sets that a partition knows dead letters have come from.
	maxMoved = 1 << 16
)

// Limits of a desk.
const (
	// markAhead and maxAhead bound how far ahead of what it delivers the leader asks
	// for leave, in offsets of a level: so many records at most are taken for
	// delivered after a crash although they were not. It is more than the least
	// where that many are given at once (Pace).
	markAhead = 1024
	maxAhead  = 8 * markAhead
	// maxPatient is how many ranges of settled records may wait to be told.
	maxPatient = 1 << 10
	// maxParked bounds the records that a desk has looked at and that wait for
	// others of their group: beyond it looks no further.
	maxParked = 1 << 14
	// shrinkLeases is the size from which the table of leases is given back when
	// it is empty.
	shrinkLeases = 1 << 8
)
