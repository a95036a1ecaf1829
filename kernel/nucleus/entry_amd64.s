#include "textflag.h"
#include "go_asm.h"

// Entry into the nucleus and the way back: boot, the runtime's system calls,
// exceptions and interrupts, thread switches.
//
// Every entry from thread mode builds a regs structure on the nucleus stack of
// the current thread, loads R14 and the TLS slot with the thread's nucleus g,
// and calls Go code. See docs/design.md section 3.

// pvhNote is what boot/image looks for: a mark, the address that a PVH loader
// enters at, and the end of the largest variable of the nucleus. The linker lays
// out zeroed variables in the order of their sizes, those with pointers first,
// so the nucleus and what it uses of the runtime need nothing behind that end.
DATA	·pvhNote+0(SB)/8, $"goshawk-"
DATA	·pvhNote+8(SB)/8, $"pvh-note"
DATA	·pvhNote+16(SB)/8, $·pvhEntry(SB)
DATA	·pvhNote+24(SB)/8, $·cpus+(const_maxCPUs*cpu__size)(SB)
GLOBL	·pvhNote(SB), RODATA|NOPTR, $32

// pvhEntry is entered by a PVH loader (Xen, docs/misc/pvh.pandoc, "x86/HVM
// direct boot ABI"): 32-bit protected mode with flat segments, paging off,
// interrupts off, EBX = physical address of struct hvm_start_info.
//
// The assembler knows no 32-bit mode, so the way to 64-bit mode stands in
// bytes. It uses memory that no PVH loader puts anything into:
//
//	0x60000 PML4, 0x61000 PDPT, 0x62000 PD: first GiB, at 0 and in the direct map
//	0x63000 GDT, 0x63018 its pseudo-descriptor, below 0x64000 stack
//	0x65000 trampoline of the other processors (boot.go)
//
// QEMU's loader works below 0x10000, Firecracker and Cloud Hypervisor below
// 0x30000.
TEXT ·pvhEntry(SB), NOSPLIT|NOFRAME, $0
	BYTE $0xfa	// cli; interrupts off
	BYTE $0xfc	// cld
	BYTE $0xbc; BYTE $0x00; BYTE $0x40; BYTE $0x06; BYTE $0x00	// mov $0x64000,%esp; a stack for the far return below
	BYTE $0xbf; BYTE $0x00; BYTE $0x00; BYTE $0x06; BYTE $0x00	// mov $0x60000,%edi; clear the three tables
	BYTE $0x31; BYTE $0xc0	// xor %eax,%eax
	BYTE $0xb9; BYTE $0x00; BYTE $0x0c; BYTE $0x00; BYTE $0x00	// mov $0xc00,%ecx
	BYTE $0xf3; BYTE $0xab	// rep stos %eax,%es:(%edi)
	BYTE $0xc7; BYTE $0x05; BYTE $0x00; BYTE $0x00; BYTE $0x06; BYTE $0x00; BYTE $0x03; BYTE $0x10; BYTE $0x06; BYTE $0x00	// movl $0x61003,0x60000; PML4[0] = PDPT: physical = virtual
	BYTE $0xc7; BYTE $0x05; BYTE $0x00; BYTE $0x08; BYTE $0x06; BYTE $0x00; BYTE $0x03; BYTE $0x10; BYTE $0x06; BYTE $0x00	// movl $0x61003,0x60800; PML4[256] = PDPT: the direct map
	BYTE $0xc7; BYTE $0x05; BYTE $0x00; BYTE $0x10; BYTE $0x06; BYTE $0x00; BYTE $0x03; BYTE $0x20; BYTE $0x06; BYTE $0x00	// movl $0x62003,0x61000; PDPT[0] = PD
	BYTE $0xbf; BYTE $0x00; BYTE $0x20; BYTE $0x06; BYTE $0x00	// mov $0x62000,%edi; fill PD: 512 pages of 2 MiB
	BYTE $0xb8; BYTE $0x83; BYTE $0x00; BYTE $0x00; BYTE $0x00	// mov $0x83,%eax
	BYTE $0xb9; BYTE $0x00; BYTE $0x02; BYTE $0x00; BYTE $0x00	// mov $0x200,%ecx
	BYTE $0x89; BYTE $0x07	// mov %eax,(%edi)
	BYTE $0x05; BYTE $0x00; BYTE $0x00; BYTE $0x20; BYTE $0x00	// add $0x200000,%eax
	BYTE $0x83; BYTE $0xc7; BYTE $0x08	// add $0x8,%edi
	BYTE $0xe2; BYTE $0xf4	// loop 42
	BYTE $0xc7; BYTE $0x05; BYTE $0x00; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x00; BYTE $0x00; BYTE $0x00; BYTE $0x00	// movl $0x0,0x63000; GDT: null,
	BYTE $0xc7; BYTE $0x05; BYTE $0x04; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x00; BYTE $0x00; BYTE $0x00; BYTE $0x00	// movl $0x0,0x63004
	BYTE $0xc7; BYTE $0x05; BYTE $0x08; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0xff; BYTE $0xff; BYTE $0x00; BYTE $0x00	// movl $0xffff,0x63008; 64-bit code,
	BYTE $0xc7; BYTE $0x05; BYTE $0x0c; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x00; BYTE $0x9b; BYTE $0xaf; BYTE $0x00	// movl $0xaf9b00,0x6300c
	BYTE $0xc7; BYTE $0x05; BYTE $0x10; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0xff; BYTE $0xff; BYTE $0x00; BYTE $0x00	// movl $0xffff,0x63010; data,
	BYTE $0xc7; BYTE $0x05; BYTE $0x14; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x00; BYTE $0x93; BYTE $0xcf; BYTE $0x00	// movl $0xcf9300,0x63014
	BYTE $0xc7; BYTE $0x05; BYTE $0x18; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x17; BYTE $0x00; BYTE $0x00; BYTE $0x30	// movl $0x30000017,0x63018; and its pseudo-descriptor
	BYTE $0xc7; BYTE $0x05; BYTE $0x1c; BYTE $0x30; BYTE $0x06; BYTE $0x00; BYTE $0x06; BYTE $0x00; BYTE $0x00; BYTE $0x00	// movl $0x6,0x6301c
	BYTE $0x0f; BYTE $0x01; BYTE $0x15; BYTE $0x18; BYTE $0x30; BYTE $0x06; BYTE $0x00	// lgdtl 0x63018
	BYTE $0xb8; BYTE $0x00; BYTE $0x00; BYTE $0x06; BYTE $0x00	// mov $0x60000,%eax; page-table root
	BYTE $0x0f; BYTE $0x22; BYTE $0xd8	// mov %eax,%cr3
	BYTE $0x0f; BYTE $0x20; BYTE $0xe0	// mov %cr4,%eax; CR4: PAE, OSFXSR, OSXMMEXCPT
	BYTE $0x0d; BYTE $0x20; BYTE $0x06; BYTE $0x00; BYTE $0x00	// or $0x620,%eax
	BYTE $0x0f; BYTE $0x22; BYTE $0xe0	// mov %eax,%cr4
	BYTE $0xb9; BYTE $0x80; BYTE $0x00; BYTE $0x00; BYTE $0xc0	// mov $0xc0000080,%ecx; EFER:
	BYTE $0x0f; BYTE $0x32	// rdmsr
	BYTE $0x0d; BYTE $0x01; BYTE $0x09; BYTE $0x00; BYTE $0x00	// or $0x901,%eax; SCE, LME, NXE
	BYTE $0x0f; BYTE $0x30	// wrmsr
	BYTE $0x0f; BYTE $0x20; BYTE $0xc0	// mov %cr0,%eax; CR0:
	BYTE $0x83; BYTE $0xe0; BYTE $0xfb	// and $0xfffffffb,%eax; not EM,
	BYTE $0x0d; BYTE $0x23; BYTE $0x00; BYTE $0x01; BYTE $0x80	// or $0x80010023,%eax; PE, MP, NE, WP, PG
	BYTE $0x0f; BYTE $0x22; BYTE $0xc0	// mov %eax,%cr0
	BYTE $0xe8; BYTE $0x00; BYTE $0x00; BYTE $0x00; BYTE $0x00	// call d9; far return to the 64-bit code
	BYTE $0x58	// pop %eax
	BYTE $0x05; BYTE $0x0a; BYTE $0x00; BYTE $0x00; BYTE $0x00	// add $0xa,%eax
	BYTE $0x6a; BYTE $0x08	// push $0x8
	BYTE $0x50	// push %eax
	BYTE $0xcb	// lret
	// 64-bit mode. CR0, CR4 and EFER are set for Go code.
	MOVW	$0x10, AX
	BYTE	$0x8e; BYTE $0xd8	// MOV DS, AX
	BYTE	$0x8e; BYTE $0xc0	// MOV ES, AX
	BYTE	$0x8e; BYTE $0xd0	// MOV SS, AX
	LEAQ	·bootStack(SB), SP
	LEAQ	·cpus(SB), R12
	LEAQ	cpu_idle(R12), R14
	MOVQ	SP, thread_lo(R14)
	LEAQ	const_stackGuard(SP), AX
	MOVQ	AX, thread_guard0(R14)
	MOVQ	AX, thread_guard1(R14)
	ADDQ	$const_bootStackSize, SP
	MOVQ	SP, thread_hi(R14)
	MOVL	BX, BX
	PUSHQ	BX	// argument of boot
	MOVQ	R12, AX
	CALL	·loadBases(SB)
	CALL	·boot(SB)
	UNDEF

// loadBases makes GS and FS refer to the cpu structure in AX, and the g of
// nucleus code its idle thread. Clobbers AX, CX, DX, R14, X15.
TEXT ·loadBases(SB), NOSPLIT|NOFRAME, $0
	MOVQ	AX, R14
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$const_gsBaseMSR, CX
	WRMSR
	LEAQ	(cpu_idle+thread_tls+8)(R14), AX
	MOVQ	AX, (cpu_idle+thread_fsBase)(R14)
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$const_fsBaseMSR, CX
	WRMSR
	MOVQ	R14, cpu_self(R14)
	LEAQ	cpu_idle(R14), R14
	MOVQ	R14, -8(FS)
	MOVQ	R14, cpu_cur(GS)
	XORPS	X15, X15
	RET

// apEntry is where the trampoline (smp.go) enters on an application processor:
// 64-bit mode, the boot page tables or later ones in CR3. The cpu structure is
// in startingCPU, its idle thread's stack prepared.
TEXT ·apEntry(SB), NOSPLIT|NOFRAME, $0
	MOVQ	·startingCPU(SB), AX
	MOVQ	(cpu_idle+thread_hi)(AX), SP
	CALL	·loadBases(SB)
	CALL	·apMain(SB)
	UNDEF

// Copying the general registers to and from a regs structure at SP. AX, CX and
// DX are apart since the trap entry has saved them elsewhere.
#define SAVE_REST(BASE) \
	MOVQ	R15, regs_r15(BASE) \
	MOVQ	R14, regs_r14(BASE) \
	MOVQ	R13, regs_r13(BASE) \
	MOVQ	R12, regs_r12(BASE) \
	MOVQ	R11, regs_r11(BASE) \
	MOVQ	R10, regs_r10(BASE) \
	MOVQ	R9, regs_r9(BASE) \
	MOVQ	R8, regs_r8(BASE) \
	MOVQ	BP, regs_bp(BASE) \
	MOVQ	DI, regs_di(BASE) \
	MOVQ	SI, regs_si(BASE) \
	MOVQ	BX, regs_bx(BASE)

#define RESTORE_REST \
	MOVQ	regs_r15(SP), R15 \
	MOVQ	regs_r14(SP), R14 \
	MOVQ	regs_r13(SP), R13 \
	MOVQ	regs_r12(SP), R12 \
	MOVQ	regs_r10(SP), R10 \
	MOVQ	regs_r9(SP), R9 \
	MOVQ	regs_r8(SP), R8 \
	MOVQ	regs_bp(SP), BP \
	MOVQ	regs_di(SP), DI \
	MOVQ	regs_si(SP), SI \
	MOVQ	regs_dx(SP), DX \
	MOVQ	regs_bx(SP), BX \
	MOVQ	regs_ax(SP), AX

#define SAVE_X(BASE) \
	MOVUPS	X0, (regs__size+0)(BASE) \
	MOVUPS	X1, (regs__size+16)(BASE) \
	MOVUPS	X2, (regs__size+32)(BASE) \
	MOVUPS	X3, (regs__size+48)(BASE) \
	MOVUPS	X4, (regs__size+64)(BASE) \
	MOVUPS	X5, (regs__size+80)(BASE) \
	MOVUPS	X6, (regs__size+96)(BASE) \
	MOVUPS	X7, (regs__size+112)(BASE) \
	MOVUPS	X8, (regs__size+128)(BASE) \
	MOVUPS	X9, (regs__size+144)(BASE) \
	MOVUPS	X10, (regs__size+160)(BASE) \
	MOVUPS	X11, (regs__size+176)(BASE) \
	MOVUPS	X12, (regs__size+192)(BASE) \
	MOVUPS	X13, (regs__size+208)(BASE) \
	MOVUPS	X14, (regs__size+224)(BASE) \
	MOVUPS	X15, (regs__size+240)(BASE)

#define RESTORE_X(BASE) \
	MOVUPS	(regs__size+0)(BASE), X0 \
	MOVUPS	(regs__size+16)(BASE), X1 \
	MOVUPS	(regs__size+32)(BASE), X2 \
	MOVUPS	(regs__size+48)(BASE), X3 \
	MOVUPS	(regs__size+64)(BASE), X4 \
	MOVUPS	(regs__size+80)(BASE), X5 \
	MOVUPS	(regs__size+96)(BASE), X6 \
	MOVUPS	(regs__size+112)(BASE), X7 \
	MOVUPS	(regs__size+128)(BASE), X8 \
	MOVUPS	(regs__size+144)(BASE), X9 \
	MOVUPS	(regs__size+160)(BASE), X10 \
	MOVUPS	(regs__size+176)(BASE), X11 \
	MOVUPS	(regs__size+192)(BASE), X12 \
	MOVUPS	(regs__size+208)(BASE), X13 \
	MOVUPS	(regs__size+224)(BASE), X14 \
	MOVUPS	(regs__size+240)(BASE), X15

// goshawk.syscall takes the place of the SYSCALL instruction in package runtime
// and internal/runtime/syscall/linux: number in AX, arguments in DI, SI, DX,
// R10, R8, R9, result in AX; CX and R11 are lost, all other general registers
// are kept. Thread mode, on the stack of the caller, which is touched only by
// the call itself. The space on the nucleus stack is made with LEAQ so that the
// linker does not count it as the caller's.
TEXT goshawk·syscall(SB), NOSPLIT|NOFRAME, $0
	CLI
	MOVQ	SP, R11
	MOVQ	cpu_kstack(GS), SP
	LEAQ	-regs__size(SP), SP
	SAVE_REST(SP)
	MOVQ	AX, regs_ax(SP)
	MOVQ	DX, regs_dx(SP)
	MOVQ	(R11), CX
	MOVQ	CX, regs_rip(SP)
	LEAQ	8(R11), R11
	MOVQ	R11, regs_rsp(SP)
	MOVQ	$const_vectorSyscall, regs_vector(SP)
	MOVQ	$0, regs_err(SP)
	MOVQ	$0x08, regs_cs(SP)
	MOVQ	$0x202, regs_rflags(SP)
	MOVQ	$0x10, regs_ss(SP)
	MOVQ	-8(FS), CX
	MOVQ	CX, regs_g(SP)
	MOVQ	cpu_cur(GS), R14
	MOVQ	R14, -8(FS)
	XORPS	X15, X15
	MOVQ	SP, regs_self(SP)
	CALL	·syscallEntry(SB)
	MOVQ	cpu_cur(GS), AX
	CMPL	thread_attention(AX), $0
	JNE	slow
	MOVQ	regs_g(SP), CX
	MOVQ	CX, -8(FS)
	RESTORE_REST
	MOVQ	regs_rip(SP), CX
	MOVQ	regs_rsp(SP), SP
	STI
	JMP	CX
slow:
	JMP	·attend(SB)
	LEAQ	·pvhNote(SB), AX	// never executed: keeps the note in the image

// syscallInstruction is where a SYSCALL instruction enters (IA32_LSTAR): RCX is
// the address after it, the stack is still the program's, which in Go code has
// nothing of value below SP. It becomes a call.
TEXT ·syscallInstruction(SB), NOSPLIT|NOFRAME, $0
	LEAQ	-8(SP), SP
	MOVQ	CX, (SP)
	JMP	goshawk·syscall(SB)

// attend leaves for thread mode by way of the signals: SP is at a regs
// structure, the vector registers are the thread's unless fpValid says that the
// save area holds them.
TEXT ·attend(SB), NOSPLIT|NOFRAME, $0
	MOVQ	cpu_cur(GS), AX
	CMPL	thread_fpValid(AX), $0
	JNE	saved
	MOVQ	thread_xsave(AX), CX
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	·hasXSAVE(SB), $0
	JEQ	fxsave
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x21	// XSAVE64 (CX)
	JMP	saved
fxsave:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x01	// FXSAVE64 (CX)
saved:
	MOVQ	cpu_cur(GS), R14
	XORPS	X15, X15
	MOVQ	SP, regs_self(SP)
	CALL	·signals(SB)
	MOVQ	cpu_cur(GS), AX
	MOVQ	thread_xsave(AX), CX
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	·hasXSAVE(SB), $0
	JEQ	fxrstor
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x29	// XRSTOR64 (CX)
	JMP	restored
fxrstor:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x09	// FXRSTOR64 (CX)
restored:
	JMP	·iret(SB)

// iret loads the registers from the regs structure at SP and returns.
TEXT ·iret(SB), NOSPLIT|NOFRAME, $0
	MOVQ	regs_g(SP), CX
	MOVQ	CX, -8(FS)
	RESTORE_REST
	MOVQ	regs_r11(SP), R11
	MOVQ	regs_cx(SP), CX
	LEAQ	regs_rip(SP), SP
	IRETQ

// trap is where all exceptions and interrupts come from the vector stubs, on an
// interrupt stack of this CPU (IST): vector, error code and the five words
// that the CPU pushed. They are moved to the nucleus stack of the current
// thread, or, if the CPU was in nucleus mode (idle, or a fault on the program's
// memory), below the stack pointer there. Interrupts that end everything take
// the stack for it.
TEXT ·trap(SB), NOSPLIT|NOFRAME, $0
	LEAQ	-24(SP), SP
	MOVQ	AX, 0(SP)
	MOVQ	CX, 8(SP)
	MOVQ	DX, 16(SP)
	MOVQ	24(SP), DX
	MOVQ	cpu_fatalStack(GS), CX
	CMPQ	DX, $const_vectorNMI
	JEQ	build
	CMPQ	DX, $const_vectorDF
	JEQ	build
	CMPQ	DX, $const_vectorMC
	JEQ	build
	MOVQ	cpu_cur(GS), AX
	MOVQ	cpu_kstack(GS), CX
	MOVQ	64(SP), DX	// stack pointer at the interruption
	CMPQ	DX, thread_lo(AX)
	JLS	build
	CMPQ	DX, thread_hi(AX)
	JHI	build
	LEAQ	-256(DX), CX
	ANDQ	$~15, CX
build:
	LEAQ	-regs__size(CX), CX
	SAVE_REST(CX)
	MOVQ	0(SP), AX
	MOVQ	AX, regs_ax(CX)
	MOVQ	8(SP), AX
	MOVQ	AX, regs_cx(CX)
	MOVQ	16(SP), AX
	MOVQ	AX, regs_dx(CX)
	MOVQ	24(SP), AX
	MOVQ	AX, regs_vector(CX)
	MOVQ	32(SP), AX
	MOVQ	AX, regs_err(CX)
	MOVQ	40(SP), AX
	MOVQ	AX, regs_rip(CX)
	MOVQ	48(SP), AX
	MOVQ	AX, regs_cs(CX)
	MOVQ	56(SP), AX
	MOVQ	AX, regs_rflags(CX)
	MOVQ	64(SP), AX
	MOVQ	AX, regs_rsp(CX)
	MOVQ	72(SP), AX
	MOVQ	AX, regs_ss(CX)
	MOVQ	CX, SP
	SAVE_X(SP)
	CLD
	MOVQ	-8(FS), AX
	MOVQ	AX, regs_g(SP)
	MOVQ	cpu_cur(GS), R14
	MOVQ	R14, -8(FS)
	XORPS	X15, X15
	MOVQ	SP, regs_self(SP)
	CALL	·trapEntry(SB)
	JMP	·leave(SB)

// leave ends a trap: SP is at its regs structure, the saved vector registers
// above it. Signals wait until the CPU returns to thread mode.
TEXT ·leave(SB), NOSPLIT|NOFRAME, $0
	RESTORE_X(SP)
	MOVQ	cpu_cur(GS), AX
	CMPL	thread_attention(AX), $0
	JEQ	quick
	MOVQ	regs_rsp(SP), DX
	CMPQ	DX, thread_lo(AX)
	JLS	slow
	CMPQ	DX, thread_hi(AX)
	JHI	slow
quick:
	JMP	·iret(SB)
slow:
	JMP	·attend(SB)

// threadStart is where a new thread first returns to from switchThread: SP is
// at the regs structure that it starts with.
TEXT ·threadStart(SB), NOSPLIT|NOFRAME, $0
	CALL	·afterSwitch(SB)
	MOVQ	cpu_cur(GS), AX
	CMPL	thread_attention(AX), $0
	JNE	slow
	JMP	·iret(SB)
slow:
	JMP	·attend(SB)

// func switchThread(save, sp, fs uintptr)
//
// Continues another thread: stores this one's stack pointer at save, and loads
// the other's stack pointer and FS base. The frame pointer is the only register
// that Go's calling convention asks to keep; R14 is reloaded from the TLS slot,
// which holds the other thread's nucleus g, when this function returns.
TEXT ·switchThread(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ	save+0(FP), SI
	MOVQ	sp+8(FP), DI
	MOVQ	fs+16(FP), AX
	LEAQ	-8(SP), SP
	MOVQ	BP, (SP)
	MOVQ	SP, (SI)
	MOVQ	DI, SP
	CMPL	·hasFSGSBASE(SB), $0
	JEQ	msr
	WRFSBASEQ	AX
	JMP	resume
msr:
	MOVQ	AX, DX
	SHRQ	$32, DX
	MOVL	$const_fsBaseMSR, CX
	WRMSR
resume:
	MOVQ	(SP), BP
	LEAQ	8(SP), SP
	RET

// func saveVectors(area uintptr)
//
// Saves the vector and floating-point registers.
TEXT ·saveVectors(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ	area+0(FP), CX
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	·hasXSAVE(SB), $0
	JEQ	fx
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x21	// XSAVE64 (CX)
	RET
fx:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x01	// FXSAVE64 (CX)
	RET

// func loadVectors(area uintptr)
//
// Loads what saveVectors saved.
TEXT ·loadVectors(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ	area+0(FP), CX
	MOVL	$-1, AX
	MOVL	$-1, DX
	CMPL	·hasXSAVE(SB), $0
	JEQ	fx
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x29	// XRSTOR64 (CX)
	RET
fx:
	BYTE	$0x48; BYTE $0x0f; BYTE $0xae; BYTE $0x09	// FXRSTOR64 (CX)
	RET

// func current() uintptr
//
// Returns the address of the thread that this CPU runs.
TEXT ·current(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ	cpu_cur(GS), AX
	MOVQ	AX, ret+0(FP)
	RET

// func thisCPU() uintptr
//
// Returns the address of this CPU's cpu structure.
TEXT ·thisCPU(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ	cpu_self(GS), AX
	MOVQ	AX, ret+0(FP)
	RET

// func waitForInterrupt()
//
// Takes interrupts until one has come. The CPU takes none between STI and the
// instruction after it, so one that is pending ends the HLT.
TEXT ·waitForInterrupt(SB), NOSPLIT|NOFRAME, $0
	STI
	HLT
	CLI
	RET

// func clearPage(addr, n uintptr)
//
// Clears n bytes, a multiple of 256, at a 16-byte boundary.
TEXT ·clearPage(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ	addr+0(FP), DI
	MOVQ	n+8(FP), CX
	XORPS	X0, X0
loop:
	MOVUPS	X0, 0(DI)
	MOVUPS	X0, 16(DI)
	MOVUPS	X0, 32(DI)
	MOVUPS	X0, 48(DI)
	MOVUPS	X0, 64(DI)
	MOVUPS	X0, 80(DI)
	MOVUPS	X0, 96(DI)
	MOVUPS	X0, 112(DI)
	MOVUPS	X0, 128(DI)
	MOVUPS	X0, 144(DI)
	MOVUPS	X0, 160(DI)
	MOVUPS	X0, 176(DI)
	MOVUPS	X0, 192(DI)
	MOVUPS	X0, 208(DI)
	MOVUPS	X0, 224(DI)
	MOVUPS	X0, 240(DI)
	ADDQ	$256, DI
	SUBQ	$256, CX
	JNE	loop
	RET

// goshawk.nanotime1 and goshawk.now read the clock (clock.go) on the caller's
// stack in thread mode. NOW leaves nanoseconds since boot in AX; it clobbers CX,
// DX, R8, R9, R10.
#define NOW \
	MOVL	·clock+clockState_seq(SB), R8 \
	TESTL	$1, R8 \
	JNE	-2(PC) \
	LFENCE \
	RDTSC \
	SHLQ	$32, DX \
	ORQ	DX, AX \
	SUBQ	·clock+clockState_tsc(SB), AX \
	MULQ	·clock+clockState_mult(SB) \
	SHRQ	$32, DX, AX \
	ADDQ	·clock+clockState_ns(SB), AX \
	MOVQ	·clock+clockState_wall(SB), R9 \
	CMPL	R8, ·clock+clockState_seq(SB) \
	JNE	-13(PC)

// func runtime.nanotime1() int64
TEXT goshawk·nanotime1(SB), NOSPLIT|NOFRAME, $0-8
	NOW
	MOVQ	AX, 8(SP)
	RET

// clockNow is nanotime1 for nucleus mode.
//
// func clockNow() int64
TEXT ·clockNow(SB), NOSPLIT|NOFRAME, $0-8
	NOW
	MOVQ	AX, ret+0(FP)
	RET

// goshawk.now returns what time.now returns in registers: seconds in AX and
// nanoseconds in BX since 1970, monotonic nanoseconds in CX.
TEXT goshawk·now(SB), NOSPLIT|NOFRAME, $0
	NOW
	MOVQ	AX, R10
	ADDQ	R9, AX
	XORL	DX, DX
	MOVL	$1000000000, CX
	DIVQ	CX
	MOVQ	DX, BX
	MOVQ	R10, CX
	RET

// func entryPoints() (vectors, syscallInstruction, threadStart, apEntry uintptr)
TEXT ·entryPoints(SB), NOSPLIT|NOFRAME, $0-32
	LEAQ	·vectors(SB), AX
	MOVQ	AX, vectors+0(FP)
	LEAQ	·syscallInstruction(SB), AX
	MOVQ	AX, syscallInstruction+8(FP)
	LEAQ	·threadStart(SB), AX
	MOVQ	AX, threadStart+16(FP)
	LEAQ	·apEntry(SB), AX
	MOVQ	AX, apEntry+24(FP)
	RET

// func programEntry() uintptr
TEXT ·programEntry(SB), NOSPLIT|NOFRAME, $0-8
	LEAQ	_rt0_amd64_linux(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func Raw(num, a1, a2, a3, a4, a5, a6 uintptr) (r1 uintptr, err syscall.Errno)
TEXT ·Raw(SB), NOSPLIT, $0-72
	MOVQ	num+0(FP), AX
	MOVQ	a1+8(FP), DI
	MOVQ	a2+16(FP), SI
	MOVQ	a3+24(FP), DX
	MOVQ	a4+32(FP), R10
	MOVQ	a5+40(FP), R8
	MOVQ	a6+48(FP), R9
	CALL	goshawk·syscall(SB)
	CMPQ	AX, $0xfffffffffffff001
	JCS	ok
	NEGQ	AX
	MOVQ	$-1, r1+56(FP)
	MOVQ	AX, err+64(FP)
	RET
ok:
	MOVQ	AX, r1+56(FP)
	MOVQ	$0, err+64(FP)
	RET

// vectors holds one stub of 16 bytes for each vector: it pushes an error code
// where the CPU has not (SDM 6.13), the vector, and goes to trap. The pushes
// stand in bytes so that the assembler does not add them up.
TEXT ·vectors(SB), NOSPLIT|NOFRAME, $0
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $0
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $1
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $2
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $3
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $4
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $5
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $6
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $7
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $8
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $9
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $10
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $11
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $12
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $13
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $14
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $15
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $16
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $17
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $18
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $19
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $20
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $21
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $22
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $23
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $24
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $25
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $26
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $27
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $28
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $29
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $30
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $31
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $32
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $33
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $34
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $35
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $36
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $37
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $38
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $39
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $40
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $41
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $42
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $43
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $44
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $45
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $46
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $47
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $48
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $49
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $50
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $51
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $52
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $53
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $54
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $55
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $56
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $57
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $58
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $59
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $60
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $61
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $62
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $63
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $64
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $65
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $66
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $67
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $68
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $69
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $70
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $71
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $72
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $73
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $74
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $75
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $76
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $77
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $78
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $79
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $80
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $81
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $82
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $83
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $84
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $85
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $86
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $87
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $88
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $89
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $90
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $91
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $92
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $93
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $94
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $95
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $96
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $97
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $98
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $99
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $100
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $101
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $102
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $103
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $104
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $105
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $106
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $107
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $108
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $109
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $110
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $111
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $112
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $113
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $114
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $115
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $116
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $117
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $118
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $119
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $120
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $121
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $122
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $123
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $124
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $125
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $126
	JMP	·trap(SB)
	PCALIGN	$16
	BYTE	$0x6a; BYTE $0
	BYTE	$0x6a; BYTE $127
	JMP	·trap(SB)
