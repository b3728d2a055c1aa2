// What every client of this program does with a server: records in every codec, sizes at the limit, offsets by position and by time, missing topics, transactions, passwords.
package main

import (
	"fmt"
	"strings"
)

const startTime = 1700000000000

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

type login struct{ mechanism, user, password string }

type client interface {
	create(topic string, partitions int32, configs map[string]string)
	produce(topic, codec string, records []record) error
	// So many records of partition 0 from an offset on, committed ones alone or all.
	read(topic string, count int, from int64, committed bool) []record
	offsetAt(topic string, time int64) int64
	exists(topic string) bool
	// A transaction of a producer of its own.
	transaction(id, topic string, commit bool, values ...string)
	// Everything that the group has not read goes from one topic to another, in a transaction with the group's offsets.
	transform(id, group, from, to string, commit bool)
	// A producer in a transaction, which the next one of the same id fences.
	fenced(id, topic string) error
	administer()
	close()
}

func drawn() []record {
	records := make([]record, 0, 501)
	for n := 0; n < 500; n++ {
		r := record{time: startTime + int64(n)}
		if n%3 != 0 {
			r.key = fmt.Appendf(nil, "key-%d", n)
		}
		if n%6 != 1 {
			r.value = []byte(strings.Repeat(fmt.Sprint(n), n%100))
		}
		if n%5 == 0 {
			r.headers = fmt.Sprintf("n:%d, empty:, n:again", n)
		}
		records = append(records, r)
	}
	return append(records, record{key: []byte("large"), value: make([]byte, 900000), time: startTime + 500})
}

func texts(values ...string) []record {
	records := []record{}
	for n, value := range values {
		records = append(records, record{value: []byte(value), time: startTime + int64(n)})
	}
	return records
}

func joined(records []record) string {
	values := []string{}
	for _, r := range records {
		values = append(values, string(r.value))
	}
	return strings.Join(values, " ")
}

func recordsOf(c client) {
	for _, codec := range codecs {
		topic, sent := prefix+"-"+codec, drawn()
		c.create(topic, 1, nil)
		must(c.produce(topic, codec, sent), "producing in "+codec)
		sameRecords(c.read(topic, len(sent), 0, false), sent, "records in "+codec)
	}
	same(c.read(prefix+"-none", 1, 250, false)[0].time, startTime+250, "the record at offset 250")
	for _, n := range []int64{0, 77, 500} {
		same(c.offsetAt(prefix+"-none", startTime+n), n, "the offset of a time")
	}
}

// A batch is 61 bytes; a record of it without a key has 3 of length, attributes, time, offset and key with 1 each, 3 of its value's length, 1 of headers.
func sizes(c client) {
	const most = 100000 - 61 - 3 - 4 - 3 - 1
	c.create(prefix+"-sizes", 1, map[string]string{"max.message.bytes": "100000"})
	c.create(prefix+"-large", 1, nil)
	must(c.produce(prefix+"-sizes", "none", []record{{value: make([]byte, most), time: startTime}}), "a batch as large as can be")
	fails(c.produce(prefix+"-sizes", "none", []record{{value: make([]byte, most+1), time: startTime}}), "too large", "a batch of one byte too many")
	must(c.produce(prefix+"-sizes", "none", []record{{value: []byte{}, time: startTime}}), "an empty value")
	same(len(c.read(prefix+"-sizes", 2, 0, false)[0].value), most, "the largest value")
	must(c.produce(prefix+"-large", "none", []record{{value: make([]byte, 8<<20), time: startTime}}), "a value of 8 MiB")
	same(len(c.read(prefix+"-large", 1, 0, false)[0].value), 8<<20, "a value of 8 MiB")
}

func missing(c client) {
	same(c.exists(prefix+"-missing"), false, "a topic that nobody made")
	must(c.produce(prefix+"-made", "none", texts("x")), "a missing topic is made")
	same(c.exists(prefix+"-made"), true, "a topic that a producer named")
	if err := c.produce("no topic", "none", texts("x")); err == nil {
		fail("a name that no topic can have was taken")
	}
	checks++
}

func transactions(c client) {
	c.create(prefix+"-txn", 1, nil)
	c.transaction(prefix+"-writer", prefix+"-txn", true, "a", "b")
	c.transaction(prefix+"-writer", prefix+"-txn", false, "c")
	c.transaction(prefix+"-other", prefix+"-txn", true, "d")
	same(joined(c.read(prefix+"-txn", 3, 0, true)), "a b d", "what was committed")
	same(joined(c.read(prefix+"-txn", 4, 0, false)), "a b c d", "what was written")
	err := c.fenced(prefix+"-fenced", prefix+"-txn")
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "fenced") && !strings.Contains(strings.ToLower(err.Error()), "epoch") {
		fail("a producer that was fenced: %v", err)
	}
	checks++
	c.create(prefix+"-from", 1, nil)
	c.create(prefix+"-to", 1, nil)
	must(c.produce(prefix+"-from", "lz4", texts("1", "2", "3")), "input")
	c.transform(prefix+"-transform", prefix+"-transformers", prefix+"-from", prefix+"-to", false)
	c.transform(prefix+"-transform", prefix+"-transformers", prefix+"-from", prefix+"-to", true)
	must(c.produce(prefix+"-from", "lz4", texts("4", "5")), "input")
	c.transform(prefix+"-transform", prefix+"-transformers", prefix+"-from", prefix+"-to", true)
	same(joined(c.read(prefix+"-to", 5, 0, true)), "1 2 3 4 5", "what was moved, once each")
}

func passwords(name, address string) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		c := connect(name, address, login{mechanism, "alice", "a good secret"})
		topic := prefix + "-" + strings.ToLower(mechanism)
		must(c.produce(topic, "zstd", texts("said by alice")), "writing as a user by "+mechanism)
		same(joined(c.read(topic, 1, 0, false)), "said by alice", "reading as a user by "+mechanism)
		c.close()
		refused(name, address, login{mechanism, "alice", "a guess"})
	}
}

func scenario(name, address, guarded string) {
	c := connect(name, address, login{})
	recordsOf(c)
	sizes(c)
	missing(c)
	transactions(c)
	c.administer()
	c.close()
	passwords(name, guarded)
}
