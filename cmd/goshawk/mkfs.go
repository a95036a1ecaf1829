package main

// imageOptions are those of a new file system.
type imageOptions struct {
	label      string
	blockSize  int    // bytes; 0: by size
	inodeRatio uint64 // bytes of the image for each inode; 0: by size
	journal    uint64 // bytes; 0: by size
	noJournal  bool
}
