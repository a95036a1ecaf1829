#include "textflag.h"

// "expand 32-byte k"
DATA	·constants+0(SB)/4, $0x61707865
DATA	·constants+4(SB)/4, $0x3320646e
DATA	·constants+8(SB)/4, $0x79622d32
DATA	·constants+12(SB)/4, $0x6b206574
GLOBL	·constants(SB), RODATA|NOPTR, $16

// The state is four rows of four words in X0 to X3; X4 is scratch.

// ROTATE rotates the words of R left by n bits; m is 32-n. SSE2 has no rotation.
#define ROTATE(R, n, m) \
	MOVO	R, X4 \
	PSLLL	$n, R \
	PSRLL	$m, X4 \
	POR	X4, R

// ROUND is four quarter rounds (RFC 8439, section 2.1), one in each column.
#define ROUND \
	PADDL	X1, X0 \
	PXOR	X0, X3 \
	ROTATE(X3, 16, 16) \
	PADDL	X3, X2 \
	PXOR	X2, X1 \
	ROTATE(X1, 12, 20) \
	PADDL	X1, X0 \
	PXOR	X0, X3 \
	ROTATE(X3, 8, 24) \
	PADDL	X3, X2 \
	PXOR	X2, X1 \
	ROTATE(X1, 7, 25)

// func chacha20(out *[16]uint32, key *[8]uint32, tail *[4]uint32)
TEXT ·chacha20(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ	out+0(FP), DI
	MOVQ	key+8(FP), SI
	MOVQ	tail+16(FP), DX
	MOVOU	·constants(SB), X0
	MOVOU	0(SI), X1
	MOVOU	16(SI), X2
	MOVOU	0(DX), X3
	MOVL	$10, CX
loop:
	ROUND
	// The diagonals become columns, and columns again.
	PSHUFL	$0x39, X1, X1
	PSHUFL	$0x4e, X2, X2
	PSHUFL	$0x93, X3, X3
	ROUND
	PSHUFL	$0x93, X1, X1
	PSHUFL	$0x4e, X2, X2
	PSHUFL	$0x39, X3, X3
	DECL	CX
	JNE	loop
	MOVOU	·constants(SB), X4
	PADDL	X4, X0
	MOVOU	0(SI), X4
	PADDL	X4, X1
	MOVOU	16(SI), X4
	PADDL	X4, X2
	MOVOU	0(DX), X4
	PADDL	X4, X3
	MOVOU	X0, 0(DI)
	MOVOU	X1, 16(DI)
	MOVOU	X2, 32(DI)
	MOVOU	X3, 48(DI)
	RET
