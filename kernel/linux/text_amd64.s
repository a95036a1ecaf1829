#include "textflag.h"

// func Text() (low, high uintptr)
TEXT ·Text(SB),NOSPLIT,$0-16
	LEAQ	runtime·text(SB), AX
	MOVQ	AX, low+0(FP)
	LEAQ	runtime·etext(SB), AX
	MOVQ	AX, high+8(FP)
	RET
