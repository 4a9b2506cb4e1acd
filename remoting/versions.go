package remoting

import (
	"strconv"
	"strings"

	"github.com/epitaph-mq/epitaph/mq"
)

// VersionName is the enum name of a version ordinal for people, such as V4_9_7 or V5_5_0_SNAPSHOT.
func VersionName(v int32) string {
	switch {
	case v < 0:
		return "invalid(" + strconv.Itoa(int(v)) + ")"
	case v >= mq.HigherVersion:
		return "HIGHER_VERSION"
	}
	major, minor, patch, snapshot := versionParts(v)
	name := "V" + strconv.Itoa(int(major)) + "_" + strconv.Itoa(int(minor)) + "_" + strconv.Itoa(int(patch))
	if snapshot {
		name += "_SNAPSHOT"
	}
	return name
}

// VersionText is VersionName in the form releases are spoken of: 4.9.7, 5.5.0-SNAPSHOT.
func VersionText(v int32) string {
	name := VersionName(v)
	if !strings.HasPrefix(name, "V") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name[1:], "_SNAPSHOT", "-SNAPSHOT"), "_", ".")
}

// versionParts inverts the order of the enum: each release stands on an odd ordinal with its SNAPSHOT just
// before it. From 4.0.0 on every minor release has ten patches; 3.0 had sixteen, 3.3 to 3.9 had nine.
func versionParts(v int32) (major, minor, patch int32, snapshot bool) {
	n := v / 2 // of the release that the ordinal belongs to
	snapshot = v%2 == 0
	switch {
	case v <= 15: // alphas and betas
		return 3, 0, 0, v == 0
	case v <= 45:
		return 3, 0, n - 7, snapshot
	case v <= 85:
		return 3, 1 + (n-23)/10, (n - 23) % 10, snapshot
	case v <= 211:
		return 3, 3 + (n-43)/9, 1 + (n-43)%9, snapshot
	}
	n -= 106
	return 4 + n/100, n / 10 % 10, n % 10, snapshot
}
