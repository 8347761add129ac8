package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/grafana/tail"
)

const silence = 30 * time.Second

// follow prints the first lines of a file that is written and rotated meanwhile, read as Promtail and Alloy read it: by
// the library of both, set as both set it.
func follow(path string, wanted int) error {
	tailed, err := tail.TailFile(path, tail.Config{
		Follow:    true,
		Poll:      true,
		ReOpen:    true,
		MustExist: true,
		Location:  &tail.SeekInfo{},
		Logger:    log.New(io.Discard, "", 0),
	})
	if err != nil {
		return err
	}
	for ; wanted > 0; wanted-- {
		select {
		case line, open := <-tailed.Lines:
			if !open {
				return errors.New("the file is followed no more")
			}
			fmt.Println(line.Text)
		case <-time.After(silence):
			return fmt.Errorf("%d lines did not come", wanted)
		}
	}
	return nil
}
