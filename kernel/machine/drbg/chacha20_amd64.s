#include "textflag.h"

// The 16 words of the state are in registers, except that of the third row only two
// are there at a time: R14 and R15 hold words 8 and 9, or 10 and 11, and the other
// two are at 0(SP) and 4(SP), or at 8(SP) and 12(SP). The words of the other rows:
//
//	AX BX CX DX     SI DI R8 R9     -     R10 R11 R12 R13
//
// General registers are as fast as SSE2, which has no rotation, for one block, and
// much faster on emulated CPUs.

// QUARTER is a quarter round (RFC 8439, section 2.1).
#define QUARTER(a, b, c, d) \
	ADDL	b, a \
	XORL	a, d \
	ROLL	$16, d \
	ADDL	d, c \
	XORL	c, b \
	ROLL	$12, b \
	ADDL	b, a \
	XORL	a, d \
	ROLL	$8, d \
	ADDL	d, c \
	XORL	c, b \
	ROLL	$7, b

// FINISH adds the state's first value to a word and stores it.
#define FINISH(word, reg, initial) \
	ADDL	initial, reg \
	MOVL	reg, (4*word)(BP)

// func chacha20(out *[16]uint32, key *[8]uint32, tail *[4]uint32)
TEXT ·chacha20(SB), NOSPLIT, $24-24
	MOVQ	key+8(FP), BP
	MOVL	0(BP), SI
	MOVL	4(BP), DI
	MOVL	8(BP), R8
	MOVL	12(BP), R9
	MOVL	24(BP), R14
	MOVL	28(BP), R15
	MOVL	R14, 8(SP)
	MOVL	R15, 12(SP)
	MOVL	16(BP), R14
	MOVL	20(BP), R15
	MOVQ	tail+16(FP), BP
	MOVL	0(BP), R10
	MOVL	4(BP), R11
	MOVL	8(BP), R12
	MOVL	12(BP), R13
	MOVL	$0x61707865, AX	// "expand 32-byte k"
	MOVL	$0x3320646e, BX
	MOVL	$0x79622d32, CX
	MOVL	$0x6b206574, DX
	MOVL	$10, BP
loop:
	QUARTER(AX, SI, R14, R10)
	QUARTER(BX, DI, R15, R11)
	MOVL	R14, 0(SP)
	MOVL	R15, 4(SP)
	MOVL	8(SP), R14
	MOVL	12(SP), R15
	QUARTER(CX, R8, R14, R12)
	QUARTER(DX, R9, R15, R13)
	QUARTER(AX, DI, R14, R13)
	QUARTER(BX, R8, R15, R10)
	MOVL	R14, 8(SP)
	MOVL	R15, 12(SP)
	MOVL	0(SP), R14
	MOVL	4(SP), R15
	QUARTER(CX, R9, R14, R11)
	QUARTER(DX, SI, R15, R12)
	DECL	BP
	JNE	loop

	MOVQ	out+0(FP), BP
	FINISH(0, AX, $0x61707865)
	FINISH(1, BX, $0x3320646e)
	FINISH(2, CX, $0x79622d32)
	FINISH(3, DX, $0x6b206574)
	MOVQ	key+8(FP), AX
	FINISH(4, SI, 0(AX))
	FINISH(5, DI, 4(AX))
	FINISH(6, R8, 8(AX))
	FINISH(7, R9, 12(AX))
	FINISH(8, R14, 16(AX))
	FINISH(9, R15, 20(AX))
	MOVL	8(SP), R14
	MOVL	12(SP), R15
	FINISH(10, R14, 24(AX))
	FINISH(11, R15, 28(AX))
	MOVQ	tail+16(FP), AX
	FINISH(12, R10, 0(AX))
	FINISH(13, R11, 4(AX))
	FINISH(14, R12, 8(AX))
	FINISH(15, R13, 12(AX))
	RET
