// SPDX-License-Identifier: Apache-2.0

// readers reads a file the ways that Go programs do: "readfile FROM" writes it to standard output with
// os.ReadFile, "copy FROM TO" copies it with io.Copy (which tries copy_file_range and sendfile first).
package main

import (
	"io"
	"log"
	"os"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	if os.Args[1] == "readfile" {
		bytes, err := os.ReadFile(os.Args[2])
		check(err)
		_, err = os.Stdout.Write(bytes)
		check(err)
		return
	}
	from, err := os.Open(os.Args[2])
	check(err)
	to, err := os.Create(os.Args[3])
	check(err)
	_, err = io.Copy(to, from)
	check(err)
	check(to.Close())
}
