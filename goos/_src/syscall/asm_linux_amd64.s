// Takes the place of the file that holds SYSCALL instructions. The rest of
// what it defined is in zgoshawk_linux.go.

#include "textflag.h"

// func gettimeofday(tv *Timeval) (err Errno)
//
// golang.org/x/sys/unix jumps here.
TEXT ·gettimeofday(SB),NOSPLIT,$0-16
	JMP	·goshawkGettimeofday(SB)
