#include "textflag.h"

DATA	·pvhNote+0(SB)/8, $"goshawk-"
DATA	·pvhNote+8(SB)/8, $"pvh-note"
DATA	·pvhNote+16(SB)/8, $·entry(SB)
DATA	·pvhNote+24(SB)/8, $0
GLOBL	·pvhNote(SB), RODATA|NOPTR, $32

TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	HLT

// func syscall6(num, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2, errno uintptr)
TEXT ·syscall6(SB),NOSPLIT,$0-80
	MOVQ	num+0(FP), AX
	MOVQ	a1+8(FP), DI
	MOVQ	a2+16(FP), SI
	MOVQ	a3+24(FP), DX
	MOVQ	a4+32(FP), R10
	MOVQ	a5+40(FP), R8
	MOVQ	a6+48(FP), R9
	SYSCALL
	MOVQ	$0, CX
	CMPQ	AX, $-4095
	JCS	ok
	NEGQ	AX
	MOVQ	AX, CX
	MOVQ	$-1, AX
	MOVQ	$0, DX
ok:
	MOVQ	AX, r1+56(FP)
	MOVQ	DX, r2+64(FP)
	MOVQ	CX, errno+72(FP)
	RET

// The runtime's seam: the registers of the SYSCALL instruction, and the stack
// as it would be there, since clone and rt_sigreturn change stacks.
TEXT goshawk·syscall(SB),NOSPLIT|NOFRAME,$0
	MOVQ	0(SP), R15
	LEAQ	8(SP), SP
	SYSCALL
	JMP	R15

// func nanotime1() int64
TEXT goshawk·nanotime1(SB),NOSPLIT,$16-8
	MOVL	$228, AX // clock_gettime
	MOVL	$1, DI   // CLOCK_MONOTONIC
	LEAQ	0(SP), SI
	SYSCALL
	MOVQ	0(SP), AX
	IMULQ	$1000000000, AX
	ADDQ	8(SP), AX
	MOVQ	AX, ret+0(FP)
	RET
