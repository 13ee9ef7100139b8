package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/sidetrack-go/sidetrack/bus"
	"github.com/sidetrack-go/sidetrack/bus/bustest"
	"github.com/sidetrack-go/sidetrack/bus/bustest/watermilltest"
	"github.com/sidetrack-go/sidetrack/bus/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	bustest.Run(t, bustest.Harness{Open: func(*testing.T) bus.Bus { return memory.New(memory.Config{}) }})
}

func TestWatermill(t *testing.T) {
	watermilltest.Run(t, func(*testing.T) bus.Bus { return memory.New(memory.Config{}) })
}
