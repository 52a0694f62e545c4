package wire

// shapes says how the body of every request that kmsg decodes for us is laid
// out, so that Check can walk it first.
//
// A shape is a list of fields: 1, 2, 4, 8 stand for integers of so many bytes
// (or a boolean), u for a uuid, s for a string, S for one that may be null, b
// and B for bytes likewise; [ … ] is an array of structures and ( … ) one of
// bare values; { … } is a structure that may be null. A field may be limited to versions: "3+:", "0-9:". Field by
// field it follows Kafka's own message definitions; the tests hold it against
// kmsg's encoders at every version.
var shapes = compile([]shapeText{
	{2, 6, "4 2+:1 [ s [ 4 4+:4 8 0-0:4 ] ] 10+:4"},                               // ListOffsets
	{3, 9, "[ 10+:u 0-9:s 10+:S ] 4+:1 8-10:1 8+:1"},                              // Metadata
	{8, 8, "s 1+:4 1+:s 7+:S 2-4:8 [ 0-9:s 10+:u [ 4 8 1-1:8 6+:4 S ] ]"},         // OffsetCommit
	{9, 6, "0-7:s 0-7:[ s ( 4 ) ] 8+:[ s 9+:S 9+:4 [ 8-9:s 10+:u ( 4 ) ] ] 7+:1"}, // OffsetFetch
	{10, 3, "0-3:s 1+:1 4+:( s )"},                                                // FindCoordinator
	{11, 6, "s 4 1+:4 s 5+:S s [ s b ] 8+:S"},                                     // JoinGroup
	{12, 4, "s 4 s 3+:S"},                                                         // Heartbeat
	{13, 4, "s 0-2:s 3+:[ s S 5+:S ]"},                                            // LeaveGroup
	{14, 4, "s 4 s 3+:S 5+:S 5+:S [ s b ]"},                                       // SyncGroup
	{15, 5, "( s ) 3+:1"},                                                         // DescribeGroups
	{16, 3, "4+:( s ) 5+:( s )"},                                                  // ListGroups
	{18, 3, "3+:s 3+:s"},                                                          // ApiVersions
	{19, 5, "[ s 4 2 [ 4 ( 4 ) ] [ s S ] ] 4 1+:1"},                               // CreateTopics
	{20, 4, "0-5:( s ) 6+:[ S u ] 4"},                                             // DeleteTopics
	{21, 2, "[ s [ 4 8 ] ] 4"},                                                    // DeleteRecords
	{22, 2, "S 4 3+:8 3+:2"},                                                      // InitProducerId
	{23, 4, "3+:4 [ s [ 4 2+:4 4 ] ]"},                                            // OffsetForLeaderEpoch
	{24, 3, "0-3:s 0-3:8 0-3:2 0-3:[ s ( 4 ) ] 4+:[ s 8 2 1 [ s ( 4 ) ] ]"},       // AddPartitionsToTxn
	{25, 3, "s 8 2 s"},                                                            // AddOffsetsToTxn
	{26, 3, "s 8 2 1"},                                                            // EndTxn
	{27, 1, "[ 8 2 1 [ s ( 4 ) ] 4 2+:1 ]"},                                       // WriteTxnMarkers
	{28, 3, "s s 8 2 3+:4 3+:s 3+:S [ 0-5:s 6+:u [ 4 8 2+:4 S ] ]"},               // TxnOffsetCommit
	{29, 2, "1 S 1+:1 S S 1 1"},                                                   // DescribeAcls
	{30, 2, "[ 1 s 1+:1 s s 1 1 ]"},                                               // CreateAcls
	{31, 2, "[ 1 S 1+:1 S S 1 1 ]"},                                               // DeleteAcls
	{32, 4, "[ 1 s ( s ) ] 1+:1 3+:1"},                                            // DescribeConfigs
	{33, 2, "[ 1 s [ s S ] ] 1"},                                                  // AlterConfigs
	{34, 2, "[ s [ s ( 4 ) ] ]"},                                                  // AlterReplicaLogDirs
	{35, 2, "[ s ( 4 ) ]"},                                                        // DescribeLogDirs
	{37, 2, "[ s 4 [ ( 4 ) ] ] 4 1"},                                              // CreatePartitions
	{42, 2, "( s )"},                                                              // DeleteGroups
	{43, 2, "1+:1 [ s ( 4 ) ] 4"},                                                 // ElectLeaders
	{44, 1, "[ 1 s [ s 1 S ] ] 1"},                                                // IncrementalAlterConfigs
	{45, 0, "4 1+:1 [ s [ 4 ( 4 ) ] ]"},                                           // AlterPartitionReassignments
	{46, 0, "4 [ s ( 4 ) ]"},                                                      // ListPartitionReassignments
	{47, never, "s [ s [ 4 ] ]"},                                                  // OffsetDelete
	{55, 0, "[ s [ 4 ] ]"},                                                        // DescribeQuorum
	{57, 0, "4 [ s 2 0-0:1 1+:1 ] 1+:1"},                                          // UpdateFeatures
	{60, 0, "1 1+:1 2+:1"},                                                        // DescribeCluster
	{61, 0, "[ s ( 4 ) ]"},                                                        // DescribeProducers
	{65, 0, "( s )"},                                                              // DescribeTransactions
	{66, 0, "( s ) ( 8 ) 1+:8 2+:S"},                                              // ListTransactions
	{74, 0, "1+:( 1 )"},                                                           // ListConfigResources
	{75, 0, "[ s ] 4 { s 4 }"},                                                    // DescribeTopicPartitions

	{keyProduce, 9, ""}, // walked by ProduceRequest
	{keyFetch, 12, ""},  // walked by FetchRequest
})

// The keys of the requests that have walkers of their own.
const (
	keyProduce = 0
	keyFetch   = 1
)

// never is a version that no request reaches.
const never = 1<<15 - 1
