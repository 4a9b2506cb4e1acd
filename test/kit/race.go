//go:build race

package kit

// raceFlag makes the program look for races when the tests do.
const raceFlag = "-race"
