// franz-go (kgo, kadm): idempotent and with fetch sessions, as it is by default.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

type franz struct {
	options []kgo.Opt
	admin   *kadm.Client
}

func newFranz(address string, as login) client {
	f := &franz{options: []kgo.Opt{kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation(), kgo.ProducerBatchMaxBytes(16 << 20), kgo.BrokerMaxWriteBytes(64 << 20)}}
	switch as.mechanism {
	case "PLAIN":
		f.options = append(f.options, kgo.SASL(plain.Auth{User: as.user, Pass: as.password}.AsMechanism()))
	case "SCRAM-SHA-256":
		f.options = append(f.options, kgo.SASL(scram.Auth{User: as.user, Pass: as.password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		f.options = append(f.options, kgo.SASL(scram.Auth{User: as.user, Pass: as.password}.AsSha512Mechanism()))
	}
	f.admin = kadm.NewClient(f.with())
	return f
}

func (f *franz) with(more ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(append([]kgo.Opt{}, f.options...), more...)...)
	must(err, "a client")
	return c
}

func within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func (f *franz) close() { f.admin.Close() }

func (f *franz) create(topic string, partitions int32, configs map[string]string) {
	pointers := map[string]*string{}
	for key, value := range configs {
		pointers[key] = &value
	}
	_, err := f.admin.CreateTopic(within(), partitions, 1, pointers, topic)
	must(err, "creating "+topic)
}

func compression(codec string) kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(),
		"zstd": kgo.ZstdCompression()}[codec]
}

func (f *franz) produce(topic, codec string, records []record) error {
	c := f.with(kgo.ProducerBatchCompression(compression(codec)), kgo.ProducerLinger(5*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	batch := []*kgo.Record{}
	for _, r := range records {
		one := &kgo.Record{Topic: topic, Key: r.key, Value: r.value, Timestamp: time.UnixMilli(r.time), Partition: r.partition}
		for _, header := range strings.FieldsFunc(r.headers, func(c rune) bool { return c == ',' }) {
			name, value, _ := strings.Cut(strings.TrimSpace(header), ":")
			one.Headers = append(one.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		batch = append(batch, one)
	}
	err := c.ProduceSync(within(), batch...).FirstErr()
	if errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("too large: %w", err)
	}
	return err
}

func fromFranz(r *kgo.Record) record {
	headers := []string{}
	for _, header := range r.Headers {
		headers = append(headers, header.Key+":"+string(header.Value))
	}
	return record{r.Key, r.Value, strings.Join(headers, ", "), r.Timestamp.UnixMilli(), r.Partition, r.Offset}
}

func isolation(committed bool) kgo.Opt {
	if committed {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

func (f *franz) read(topic string, count int, from int64, committed bool) []record {
	c := f.with(isolation(committed), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))
	defer c.Close()
	got := []record{}
	for len(got) < count {
		fetches := c.PollFetches(within())
		must(fetches.Err0(), "reading "+topic)
		fetches.EachError(func(t string, p int32, err error) { must(err, "reading "+t) })
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, fromFranz(r)) })
	}
	return got[:count]
}

func (f *franz) offsetAt(topic string, milli int64) int64 {
	listed, err := f.admin.ListOffsetsAfterMilli(within(), milli, topic)
	must(err, "offsets by time")
	offset, _ := listed.Lookup(topic, 0)
	// The same by a consumer that begins at the time.
	c := f.with(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AfterMilli(milli)}}))
	defer c.Close()
	same(c.PollRecords(within(), 1).Records()[0].Offset, offset.Offset, "the first record of a consumer that begins at a time")
	return offset.Offset
}

func (f *franz) exists(topic string) bool {
	fresh := kadm.NewClient(f.with()) // one that is in use answers from what it has heard before
	defer fresh.Close()
	topics, err := fresh.ListTopics(within())
	must(err, "topics")
	return topics.Has(topic)
}

func (f *franz) produceIn(c *kgo.Client, topic string, values ...string) error {
	must(c.BeginTransaction(), "beginning a transaction")
	for _, value := range values {
		if err := c.ProduceSync(within(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func (f *franz) transaction(id, topic string, commit bool, values ...string) {
	c := f.with(kgo.TransactionalID(id))
	defer c.Close()
	must(f.produceIn(c, topic, values...), "writing in a transaction")
	must(c.EndTransaction(within(), kgo.TransactionEndTry(commit)), "ending a transaction")
}

func (f *franz) fenced(id, topic string) error {
	first, second := f.with(kgo.TransactionalID(id)), f.with(kgo.TransactionalID(id))
	defer first.Close()
	defer second.Close()
	must(f.produceIn(first, topic, "never committed"), "writing in a transaction")
	must(f.produceIn(second, topic, "e"), "writing in the second producer's transaction")
	must(second.EndTransaction(within(), kgo.TryCommit), "the second producer's transaction")
	err := f.firstError(first, topic)
	first.EndTransaction(within(), kgo.TryAbort)
	return err
}

func (f *franz) firstError(c *kgo.Client, topic string) error {
	if err := c.ProduceSync(within(), &kgo.Record{Topic: topic, Value: []byte("too late")}).FirstErr(); err != nil {
		return err
	}
	return c.EndTransaction(within(), kgo.TryCommit)
}

func (f *franz) transform(id, group, from, to string, commit bool) {
	options := append(append([]kgo.Opt{}, f.options...), kgo.TransactionalID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	session, err := kgo.NewGroupTransactSession(options...)
	must(err, "a session of a group with transactions")
	defer session.Close()
	end := f.end(from)
	for position := int64(0); position < end; {
		fetches := session.PollFetches(within())
		must(fetches.Err0(), "reading in a session")
		must(session.Begin(), "beginning in a session")
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(within(), &kgo.Record{Topic: to, Value: r.Value}, func(_ *kgo.Record, err error) { must(err, "writing in a session") })
			position = r.Offset + 1
		})
		must(session.Client().Flush(within()), "writing in a session")
		committed, err := session.End(within(), kgo.TransactionEndTry(commit))
		must(err, "ending in a session")
		same(committed, commit, "a session's transaction is committed")
	}
}

func (f *franz) end(topic string) int64 {
	ends, err := f.admin.ListEndOffsets(within(), topic)
	must(err, "ends")
	end, _ := ends.Lookup(topic, 0)
	return end.Offset
}

func refusedFranz(f *franz) error {
	c := f.with(kgo.RetryTimeout(10 * time.Second))
	defer c.Close()
	return c.Ping(within())
}

func (f *franz) administer() {
	topic, a := prefix+"-admin", f.admin
	f.create(topic, 2, map[string]string{"retention.ms": "1000000"})
	_, err := a.CreateTopic(within(), 1, 1, nil, topic)
	same(errors.Is(err, kerr.TopicAlreadyExists), true, "a topic that is there")
	grown, err := a.UpdatePartitions(within(), 3, topic)
	must(err, "partitions")
	must(grown[topic].Err, "partitions")
	altered, err := a.AlterTopicConfigs(within(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("86400000")}}, topic)
	must(err, "configs")
	must(altered[0].Err, "configs")
	configs, err := a.DescribeTopicConfigs(within(), topic)
	must(err, "configs")
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			same(config.MaybeValue(), "86400000", "an altered config")
		}
	}
	must(f.produce(topic, "none", texts("0", "1", "2", "3", "4")), "five records")
	deleted, err := a.DeleteRecords(within(), kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 2}}})
	must(err, "deleting records")
	same(deleted[topic][0].LowWatermark, 2, "the first offset")
	starts, err := a.ListStartOffsets(within(), topic)
	must(err, "starts")
	start, _ := starts.Lookup(topic, 0)
	same(start.Offset, 2, "the first offset")
	epochs := kadm.OffsetForLeaderEpochRequest{}
	epochs.Add(topic, 0, 0)
	ended, err := a.OffsetForLeaderEpoch(within(), epochs)
	must(err, "epochs")
	same(ended[topic][0].EndOffset, 5, "where epoch 0 ends")
	f.administerGroups(topic)
	described, err := a.DescribeTransactions(within(), prefix+"-writer")
	must(err, "transactions")
	same(described[prefix+"-writer"].State, "CompleteAbort", "a transaction's state")
	_, err = a.ListTransactions(within(), nil, nil)
	must(err, "transactions")
	gone, err := a.DeleteTopics(within(), topic)
	must(err, "deleting a topic")
	must(gone[topic].Err, "deleting a topic")
	same(f.exists(topic), false, "a topic that was deleted")
}

func (f *franz) administerGroups(topic string) {
	a, group := f.admin, prefix+"-administered"
	must(a.CommitAllOffsets(within(), group, kadm.Offsets{topic: {0: {Topic: topic, Partition: 0, At: 3, Metadata: "three"}, 1: {Topic: topic, Partition: 1}}}), "committing for a group")
	lags, err := a.Lag(within(), group)
	must(err, "lag")
	lag, _ := lags[group].Lag.Lookup(topic, 0)
	same(lag.Lag, 2, "lag")
	same(lag.Commit.Metadata, "three", "what came with the offset")
	groups, err := a.ListGroups(within())
	must(err, "groups")
	same(groups[group].State, "Empty", "a group's state")
	deleted, err := a.DeleteOffsets(within(), group, kadm.TopicsSet{topic: {0: {}}})
	must(err, "deleting offsets")
	must(deleted.Error(), "deleting offsets")
	gone, err := a.DeleteGroup(within(), group)
	must(err, "deleting a group")
	must(gone.Err, "deleting a group")
	_, err = a.DeleteGroup(within(), group)
	same(errors.Is(err, kerr.GroupIDNotFound), true, "deleting a group twice")
}

// A member is the group's, cooperatively; it writes to what it is given and commits what it reads.
func franzMember(address, group, topic string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	has := 0
	f := newFranz(address, login{}).(*franz)
	given := make(chan []int32, 100)
	c := f.with(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			has += len(assigned[topic])
			fmt.Println("has", has)
			given <- assigned[topic]
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, c *kgo.Client, revoked map[string][]int32) {
			has -= len(revoked[topic])
			fmt.Println("has", has)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			has -= len(lost[topic])
			fmt.Println("has", has)
		}))
	for ctx.Err() == nil {
		select {
		case partitions := <-given:
			for _, partition := range partitions {
				for n := 0; n < 10; n++ {
					at, err := c.ProduceSync(within(), &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%d", n)}).First()
					must(err, "a member writes")
					fmt.Println("sent", at.Partition, at.Offset)
				}
			}
		default:
		}
		poll, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := c.PollFetches(poll)
		cancel()
		fetches.EachRecord(func(r *kgo.Record) { fmt.Println("read", r.Partition, r.Offset) })
		if !fetches.Empty() {
			c.CommitUncommittedOffsets(within()) // what is not committed since the group shares its partitions anew comes again
		}
	}
	c.CommitUncommittedOffsets(within())
	c.Close()
	os.Exit(0)
}
