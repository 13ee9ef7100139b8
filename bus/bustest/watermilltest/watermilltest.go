// Package watermilltest runs Watermill's own suite for pub/subs on a bus.
package watermilltest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/sidetrack-go/sidetrack/bus"
)

// Features are what a bus promises in Watermill's terms.
//
// GuaranteedOrder is off: a nacked message lets others pass, by contract. With one
// subscriber and no nack the order is kept. Delivery is at least once.
func Features() tests.Features {
	return tests.Features{
		ConsumerGroups:                      true,
		GuaranteedOrderWithSingleSubscriber: true,
		Persistent:                          true, // a pub/sub of the suite is a view of one bus, which lives as long as the test
		RequireSingleInstance:               false,
		ForceShort:                          true,
	}
}

// Run runs the tests of Watermill's suite that fit. Left out are TestConcurrentSubscribe and
// TestConcurrentClose, which open many subscribers of one group in one process: a bus supports
// one, whose window takes their place. TestNoAck demands order across unacked
// messages, TestReconnect a broker to restart, TestNewSubscriberReceivesOldMessages a log that keeps what is settled.
func Run(t *testing.T, open func(t *testing.T) bus.Bus) {
	for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"ContinueAfterSubscribeClose":       tests.TestContinueAfterSubscribeClose,
		"ContinueAfterErrors":               tests.TestContinueAfterErrors,
		"PublishSubscribeInOrder":           tests.TestPublishSubscribeInOrder,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
		"SubscribeCtx":                      tests.TestSubscribeCtx,
	} {
		t.Run(name, func(t *testing.T) {
			v := newViews(t, open(t))
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: Features()}, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return v.pubSub("group")
			})
		})
	}
	t.Run("ConsumerGroups", func(t *testing.T) {
		v := newViews(t, open(t))
		tests.TestConsumerGroups(t, tests.TestContext{TestID: tests.NewTestID(), Features: Features()}, func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
			return v.pubSub(group)
		})
	})
}

// views declares topics and groups when they are first used, which the suite expects and a
// bus does not do.
type views struct {
	bus bus.Bus

	mu     sync.Mutex
	groups map[string][]string // by topic
}

func newViews(t *testing.T, b bus.Bus) *views {
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &views{bus: b, groups: map[string][]string{}}
}

func (v *views) pubSub(group string) (message.Publisher, message.Subscriber) {
	return publisher{v, group}, &subscriber{v: v, group: group}
}

func (v *views) declare(topic, group string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.groups[topic], group) {
		return nil
	}
	v.groups[topic] = append(v.groups[topic], group)
	var topics []bus.Topic
	for t, groups := range v.groups {
		topics = append(topics, bus.Topic{Name: t, Groups: groups, MaxBytes: 8 << 20})
	}
	_, err := v.bus.Declare(context.Background(), topics...)
	return err
}

type publisher struct {
	v     *views
	group string
}

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	if err := p.v.declare(topic, p.group); err != nil {
		return err
	}
	for _, m := range messages {
		c := m.Copy()
		c.Metadata.Set(bus.MetaEvents, strconv.Itoa(1))
		if err := p.v.bus.Publisher().Publish(topic, c); err != nil {
			return err
		}
	}
	return nil
}

func (publisher) Close() error { return nil }

type subscriber struct {
	v     *views
	group string

	mu   sync.Mutex
	subs []message.Subscriber
}

func (s *subscriber) SubscribeInitialize(topic string) error { return s.v.declare(topic, s.group) }

func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.v.declare(topic, s.group); err != nil {
		return nil, err
	}
	sub := s.v.bus.Subscriber(s.group, bus.Window{})
	s.mu.Lock()
	s.subs = append(s.subs, sub)
	s.mu.Unlock()
	return sub.Subscribe(ctx, topic)
}

func (s *subscriber) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if err := sub.Close(); err != nil {
			return err
		}
	}
	s.subs = nil
	return nil
}
