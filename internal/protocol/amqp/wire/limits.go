package wire

const (
	// MinFrameMax is the smallest largest frame that may be agreed upon, in
	// bytes, and what a frame may have before the connection is tuned (AMQP
	// 0-9-1 §4.2.3, frame-min-size).
	MinFrameMax = 4096
	// frameSlack is by how many bytes a frame may exceed the agreed size:
	// clients disagree on whether the agreement includes the frame's overhead.
	frameSlack = Overhead
	// maxDepth is how deep tables and arrays may lie in each other.
	maxDepth = 64
	// maxShort is the longest short string, in bytes.
	maxShort = 255
)
