// sarama: as a version of Kafka, which decides what it asks for in which versions. Its asynchronous producer writes; the synchronous one what is administered.
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

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

type saramaClient struct {
	brokers []string
	version sarama.KafkaVersion
	as      login
	admin   sarama.ClusterAdmin
}

func saramaAs(address, version string, as login) *saramaClient {
	s := &saramaClient{brokers: []string{address}, version: sarama.DefaultVersion, as: as}
	if version == "max" {
		s.version = sarama.MaxVersion
	} else if version != "" {
		var err error
		s.version, err = sarama.ParseKafkaVersion(version)
		must(err, "the version")
	}
	return s
}

func newSarama(address, version string, as login) client {
	s := saramaAs(address, version, as)
	admin, err := sarama.NewClusterAdmin(s.brokers, s.config())
	must(err, "an admin client")
	s.admin = admin
	return s
}

// What sarama asks of a SCRAM library.
type scramClient struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (c *scramClient) Begin(user, password, as string) error {
	client, err := c.hash.NewClient(user, password, as)
	if err == nil {
		c.ClientConversation = client.NewConversation()
	}
	return err
}

func (s *saramaClient) config() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID, c.Version = "sarama-test", s.version
	c.Producer.Return.Successes, c.Producer.Return.Errors = true, true
	c.Producer.RequiredAcks, c.Producer.MaxMessageBytes, c.Producer.Partitioner = sarama.WaitForAll, 16<<20, sarama.NewManualPartitioner
	c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	c.Consumer.Offsets.Initial, c.Consumer.Return.Errors = sarama.OffsetOldest, true
	c.Metadata.AllowAutoTopicCreation = true
	if s.as.mechanism != "" {
		c.Net.SASL.Enable, c.Net.SASL.Mechanism, c.Net.SASL.User, c.Net.SASL.Password = true, sarama.SASLMechanism(s.as.mechanism), s.as.user, s.as.password
		c.Net.SASL.Handshake, c.Metadata.Retry.Max = true, 0
		hash := map[string]scram.HashGeneratorFcn{"SCRAM-SHA-256": scram.SHA256, "SCRAM-SHA-512": scram.SHA512}[s.as.mechanism]
		c.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scramClient{hash: hash} }
	}
	return c
}

func (s *saramaClient) close() { must(s.admin.Close(), "closing") }

func (s *saramaClient) create(topic string, partitions int32, configs map[string]string) {
	pointers := map[string]*string{}
	for key, value := range configs {
		pointers[key] = &value
	}
	must(s.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: pointers}, false), "creating "+topic)
}

func toSarama(topic string, r record) *sarama.ProducerMessage {
	message := &sarama.ProducerMessage{Topic: topic, Partition: r.partition, Timestamp: time.UnixMilli(r.time)}
	if r.key != nil {
		message.Key = sarama.ByteEncoder(r.key)
	}
	if r.value != nil {
		message.Value = sarama.ByteEncoder(r.value)
	}
	for _, header := range strings.FieldsFunc(r.headers, func(c rune) bool { return c == ',' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(header), ":")
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
	}
	return message
}

// Sends all, and waits for every answer.
func sendAll(producer sarama.AsyncProducer, messages []*sarama.ProducerMessage) (err error) {
	go func() {
		for _, message := range messages {
			producer.Input() <- message
		}
	}()
	for range messages {
		select {
		case <-producer.Successes():
		case failure := <-producer.Errors():
			err = failure.Err
		case <-time.After(limit):
			return errors.New("no answer to a message")
		}
	}
	return err
}

func (s *saramaClient) produce(topic, codec string, records []record) error {
	c := s.config()
	c.Producer.Compression = map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}[codec]
	producer, err := sarama.NewAsyncProducer(s.brokers, c)
	if err != nil {
		return err
	}
	messages := []*sarama.ProducerMessage{}
	for _, r := range records {
		messages = append(messages, toSarama(topic, r))
	}
	err = sendAll(producer, messages)
	producer.AsyncClose()
	if errors.Is(err, sarama.ErrMessageSizeTooLarge) {
		return fmt.Errorf("too large: %w", err)
	}
	return err
}

func fromSarama(m *sarama.ConsumerMessage) record {
	headers := []string{}
	for _, header := range m.Headers {
		headers = append(headers, string(header.Key)+":"+string(header.Value))
	}
	return record{m.Key, m.Value, strings.Join(headers, ", "), m.Timestamp.UnixMilli(), m.Partition, m.Offset}
}

func (s *saramaClient) read(topic string, count int, from int64, committed bool) []record {
	c := s.config()
	if committed {
		c.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(s.brokers, c)
	must(err, "a consumer")
	partition, err := consumer.ConsumePartition(topic, 0, from)
	must(err, "a partition")
	got := []record{}
	for len(got) < count {
		select {
		case m := <-partition.Messages():
			got = append(got, fromSarama(m))
		case err := <-partition.Errors():
			must(err, "reading "+topic)
		case <-time.After(limit):
			fail("reading %s: %d of %d records", topic, len(got), count)
		}
	}
	must(partition.Close(), "closing")
	must(consumer.Close(), "closing")
	return got
}

func (s *saramaClient) client() sarama.Client {
	c, err := sarama.NewClient(s.brokers, s.config())
	must(err, "a client")
	return c
}

func (s *saramaClient) offsetAt(topic string, time int64) int64 {
	c := s.client()
	defer c.Close()
	offset, err := c.GetOffset(topic, 0, time)
	must(err, "offsets by time")
	return offset
}

func (s *saramaClient) exists(topic string) bool {
	topics, err := s.admin.ListTopics()
	must(err, "topics")
	_, there := topics[topic]
	return there
}

func (s *saramaClient) producer(id string) sarama.AsyncProducer {
	c := s.config()
	c.Producer.Transaction.ID = id
	producer, err := sarama.NewAsyncProducer(s.brokers, c)
	must(err, "a producer with transactions")
	return producer
}

func messages(topic string, values ...string) []*sarama.ProducerMessage {
	all := []*sarama.ProducerMessage{}
	for _, r := range texts(values...) {
		all = append(all, toSarama(topic, r))
	}
	return all
}

func end(producer sarama.AsyncProducer, commit bool) error {
	if commit {
		return producer.CommitTxn()
	}
	return producer.AbortTxn()
}

func (s *saramaClient) transaction(id, topic string, commit bool, values ...string) {
	producer := s.producer(id)
	must(producer.BeginTxn(), "beginning a transaction")
	must(sendAll(producer, messages(topic, values...)), "writing in a transaction")
	must(end(producer, commit), "ending a transaction")
	producer.AsyncClose()
}

func (s *saramaClient) fenced(id, topic string) error {
	first := s.producer(id)
	must(first.BeginTxn(), "beginning a transaction")
	must(sendAll(first, messages(topic, "never committed")), "writing in a transaction")
	s.transaction(id, topic, true, "e")
	err := sendAll(first, messages(topic, "too late"))
	if err == nil {
		err = first.CommitTxn()
	}
	first.AsyncClose()
	return err
}

// Reads what its group has not read, and ends the transaction that it opened for it.
type transformer struct {
	s                   *saramaClient
	id, group, from, to string
	commit              bool
	end                 int64
	done                context.CancelFunc
}

func (t *transformer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (t *transformer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (t *transformer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	defer t.done()
	producer := t.s.producer(t.id)
	defer producer.AsyncClose()
	must(producer.BeginTxn(), "beginning a transaction")
	for m := range claim.Messages() {
		must(sendAll(producer, messages(t.to, string(m.Value))), "writing what was read")
		must(producer.AddMessageToTxnWithGroupMetadata(m, sarama.NewConsumerGroupMetadataFromSession(session, t.group, nil), nil), "an offset in a transaction")
		if m.Offset+1 == t.end {
			break
		}
	}
	must(end(producer, t.commit), "ending a transaction with offsets")
	return nil
}

func (s *saramaClient) transform(id, group, from, to string, commit bool) {
	c := s.config()
	c.Consumer.IsolationLevel, c.Consumer.Offsets.AutoCommit.Enable = sarama.ReadCommitted, false
	members, err := sarama.NewConsumerGroup(s.brokers, group, c)
	must(err, "a group")
	ctx, done := context.WithTimeout(context.Background(), limit)
	must(members.Consume(ctx, []string{from}, &transformer{s, id, group, from, to, commit, s.offsetAt(from, sarama.OffsetNewest), done}), "a group's session")
	must(members.Close(), "leaving the group")
}

func refusedSarama(address, version string, as login) error {
	s := saramaAs(address, version, as)
	c, err := sarama.NewClient(s.brokers, s.config())
	if err == nil {
		c.Close()
	}
	return err
}

func (s *saramaClient) administer() {
	topic, a := prefix+"-admin", s.admin
	s.create(topic, 2, map[string]string{"retention.ms": "1000000"})
	fails(a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false), "already exists", "a topic that is there")
	must(a.CreatePartitions(topic, 3, nil, false), "partitions")
	value := "86400000"
	if s.version.IsAtLeast(sarama.V2_3_0_0) {
		must(a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false), "configs")
	} else {
		must(a.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &value}, false), "configs")
	}
	configs, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}})
	must(err, "configs")
	same(configs[0].Value, value, "an altered config")
	producer, err := sarama.NewSyncProducer(s.brokers, s.config())
	must(err, "a synchronous producer")
	for n, m := range messages(topic, "0", "1", "2", "3", "4") {
		_, offset, err := producer.SendMessage(m)
		must(err, "a record")
		same(offset, int64(n), "a record's offset")
	}
	must(producer.Close(), "closing")
	must(a.DeleteRecords(topic, map[int32]int64{0: 2}), "deleting records")
	same(s.offsetAt(topic, sarama.OffsetOldest), 2, "the first offset")
	s.administerGroups(topic)
	must(a.DeleteTopic(topic), "deleting a topic")
	same(s.exists(topic), false, "a topic that was deleted")
}

func (s *saramaClient) administerGroups(topic string) {
	a, group := s.admin, prefix+"-administered"
	_, err := a.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 3, Metadata: "three", LeaderEpoch: -1}, 1: {LeaderEpoch: -1}}}, nil)
	must(err, "committing for a group")
	offsets, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	must(err, "offsets")
	block := offsets.GetBlock(topic, 0)
	same(fmt.Sprint(block.Offset, block.Metadata), "3three", "offsets of a group")
	groups, err := a.ListConsumerGroups()
	must(err, "groups")
	_, there := groups[group]
	same(there, true, "a group is listed")
	described, err := a.DescribeConsumerGroups([]string{group})
	must(err, "groups")
	same(described[0].State, "Empty", "a group's state")
	if s.version.IsAtLeast(sarama.V2_4_0_0) {
		must(a.DeleteConsumerGroupOffset(group, topic, 0), "deleting offsets")
	}
	must(a.DeleteConsumerGroup(group), "deleting a group")
	fails(a.DeleteConsumerGroup(group), "group id", "deleting a group twice")
}

// A member of the group, eagerly; it writes to what it is given and commits what it reads.
type member struct {
	s     *saramaClient
	topic string
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	fmt.Println("has", len(session.Claims()[m.topic]))
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	producer, err := sarama.NewSyncProducer(m.s.brokers, m.s.config())
	must(err, "a member's producer")
	defer producer.Close()
	for n := 0; n < 10; n++ {
		_, offset, err := producer.SendMessage(toSarama(m.topic, record{value: fmt.Append(nil, n), time: startTime, partition: claim.Partition()}))
		must(err, "a member writes")
		fmt.Println("sent", claim.Partition(), offset)
	}
	for message := range claim.Messages() {
		fmt.Println("read", message.Partition, message.Offset)
		session.MarkMessage(message, "")
		session.Commit()
	}
	return nil
}

func saramaMember(address, group, topic string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := newSarama(address, "", login{}).(*saramaClient)
	c := s.config()
	c.Consumer.Group.Session.Timeout, c.Consumer.Group.Heartbeat.Interval = 6*time.Second, 500*time.Millisecond
	c.Consumer.Offsets.AutoCommit.Enable = false
	members, err := sarama.NewConsumerGroup(s.brokers, group, c)
	must(err, "a group")
	go func() {
		for range members.Errors() {
			continue // what could not be committed while the group shares its partitions anew comes again
		}
	}()
	for ctx.Err() == nil {
		if err := members.Consume(ctx, []string{topic}, &member{s, topic}); err != nil && ctx.Err() == nil {
			must(err, "a member")
		}
	}
	must(members.Close(), "leaving")
	os.Exit(0)
}
