package linux

const machineName = "x86_64"

// Text returns where the program's code begins and ends. That this package has assembly also lets it
// declare the functions that the overlaid runtime supplies.
func Text() (low, high uintptr)
