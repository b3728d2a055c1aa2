// wire_go: what franz-go and sarama do with a server, for wire_clients.py.
//
//	wire_go franz-go|sarama[@VERSION] HOST:PORT GUARDED_HOST:PORT PREFIX
//	    the scenario (scenario.go) on the first server, wrong and right passwords on the second; sarama as a version of Kafka, its default when none is named
//	wire_go member-franz-go|member-sarama HOST:PORT GROUP TOPIC
//	    a member of a group until it is told to end: SIGTERM; what it prints is said in wire_clients.py
//
// Each client is the dozen calls of the interface in scenario.go, and what it alone can do. The first thing that is not as it should be ends the program with an error.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

const limit = 2 * time.Minute

var (
	checks int
	prefix string // of the names of topics, groups and transactional ids: several ways may share a server
)

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", words...)
	os.Exit(1)
}

func must(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func same[T comparable](got, expected T, what string) {
	if got != expected {
		fail("%s: %v instead of %v", what, got, expected)
	}
	checks++
}

// The error must say so.
func fails(err error, words, what string) {
	if err == nil || !strings.Contains(err.Error(), words) {
		fail("%s: %v instead of an error with %q", what, err, words)
	}
	checks++
}

type record struct {
	key, value []byte
	headers    string // name:value, …
	time       int64
	partition  int32
	offset     int64
}

// Null is not empty.
func sameBytes(a, b []byte) bool {
	return bytes.Equal(a, b) && (a == nil) == (b == nil)
}

func sameRecords(got, sent []record, what string) {
	same(len(got), len(sent), "count of "+what)
	for i, r := range got {
		s := sent[i]
		if !sameBytes(r.key, s.key) || !sameBytes(r.value, s.value) || r.headers != s.headers || r.time != s.time {
			fail("%s, record %d: %q=%d bytes [%s] @%d instead of %q=%d bytes [%s] @%d", what, i, r.key, len(r.value), r.headers, r.time, s.key, len(s.value), s.headers, s.time)
		}
		checks++
	}
}

func connect(name, address string, as login) client {
	kind, version, _ := strings.Cut(name, "@")
	switch kind {
	case "franz-go":
		return newFranz(address, as)
	case "sarama":
		return newSarama(address, version, as)
	}
	fail("there is no client %s here", name)
	return nil
}

// Who says a wrong password gets an error, at the first question.
func refused(name, address string, as login) {
	kind, version, _ := strings.Cut(name, "@")
	var err error
	if kind == "franz-go" {
		err = refusedFranz(newFranz(address, as).(*franz))
	} else {
		err = refusedSarama(address, version, as)
	}
	fails(err, "wrong user name or password", "a wrong password by "+as.mechanism)
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "member-franz-go" {
		franzMember(os.Args[2], os.Args[3], os.Args[4])
	} else if len(os.Args) == 5 && os.Args[1] == "member-sarama" {
		saramaMember(os.Args[2], os.Args[3], os.Args[4])
	} else if len(os.Args) == 5 {
		prefix = os.Args[4]
		scenario(os.Args[1], os.Args[2], os.Args[3])
		fmt.Printf("%s: %d checks\n", os.Args[1], checks)
	} else {
		fail("usage: wire_go CLIENT HOST:PORT GUARDED_HOST:PORT PREFIX | member-CLIENT HOST:PORT GROUP TOPIC")
	}
}
