// SPDX-License-Identifier: MIT

// turn.go - one member of a ring of processes, in Go: see turn.c.
//
// The standard library's syscall has mmap and xattrs.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	nameAt    = 64
	nameBytes = 16
	lineBytes = 32
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func mapBuffer(path string) []byte {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	check(err)
	defer file.Close()
	info, err := file.Stat()
	check(err)
	memory, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()),
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	return memory
}

func makeBuffer(path, spec string) []byte {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0600)
	check(err)
	check(file.Close())
	check(syscall.Setxattr(path, "user.iobuf", []byte(spec), 0))
	return mapBuffer(path)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func main() {
	dir, name, spec := os.Args[1], os.Args[2], os.Args[3]
	index, members, rounds := number(os.Args[4]), number(os.Args[5]), number(os.Args[6])

	lines := makeBuffer(dir+"/"+name, spec)
	page := mapBuffer(dir + "/page")
	counter := (*uint32)(unsafe.Pointer(&page[0]))
	own := make([]byte, nameBytes)
	copy(own, name)

	for turn := 0; turn < rounds; turn++ {
		mine := uint32(turn*members + index)
		for atomic.LoadUint32(counter) != mine {
			time.Sleep(100 * time.Microsecond)
		}
		before := bytes.TrimRight(page[nameAt:nameAt+nameBytes], "\x00")
		copy(lines[turn*lineBytes:], fmt.Sprintf("%-15d%-16s\n", mine, before))
		copy(page[nameAt:], own)
		atomic.StoreUint32(counter, mine+1)
	}
}
