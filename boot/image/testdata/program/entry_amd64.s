#include "textflag.h"

DATA	·pvhNote+0(SB)/8, $"goshawk-"
DATA	·pvhNote+8(SB)/8, $"pvh-note"
DATA	·pvhNote+16(SB)/8, $·entry(SB)
DATA	·pvhNote+24(SB)/8, $·kernel+(1024*1024)(SB)
GLOBL	·pvhNote(SB), RODATA|NOPTR, $32

// entry runs in 32-bit mode. It looks at up to 16 program headers, which are
// loaded at 0x400040.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	BYTE $0xbe; BYTE $0x40; BYTE $0x00; BYTE $0x40; BYTE $0x00 // mov $0x400040,%esi
	BYTE $0xb9; BYTE $0x10; BYTE $0x00; BYTE $0x00; BYTE $0x00 // mov $16,%ecx
	// next:
	BYTE $0x81; BYTE $0x3e; BYTE $0x67; BYTE $0x53; BYTE $0x6f; BYTE $0x60 // cmpl $PTRoot,(%esi)
	BYTE $0x74; BYTE $0x0c // je found
	BYTE $0x83; BYTE $0xc6; BYTE $0x38 // add $56,%esi
	BYTE $0xe2; BYTE $0xf3 // loop next
	BYTE $0xb8; BYTE $0x2a; BYTE $0x00; BYTE $0x00; BYTE $0x00 // mov $42,%eax
	BYTE $0xeb; BYTE $0x06 // jmp out
	// found:
	BYTE $0x8b; BYTE $0x46; BYTE $0x18 // mov p_paddr(%esi),%eax
	BYTE $0x0f; BYTE $0xb6; BYTE $0x00 // movzbl (%eax),%eax
	// out:
	BYTE $0xba; BYTE $0xf4; BYTE $0x00; BYTE $0x00; BYTE $0x00 // mov $0xf4,%edx
	BYTE $0xee // out %al,(%dx)
	BYTE $0xf4 // hlt
	BYTE $0xeb; BYTE $0xfd // jmp to the hlt
