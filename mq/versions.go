package mq

// Version ordinals (MQVersion.Version) at which a NameServer's behaviour changes.
const (
	V3_0_11       int32 = 37  // a register body wraps the topic table
	V4_9_4        int32 = 401 // route answers in standard JSON
	V5_0_0        int32 = 413 // compressed register bodies carry mappings
	V5_3_1        int32 = 475 // newer ones understand GO_AWAY
	V5_5_0        int32 = 513
	HigherVersion int32 = 612 // the last ordinal; everything above counts as it
)
