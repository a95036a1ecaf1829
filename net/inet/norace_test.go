//go:build !race

package inet

const raceDetector = false
