package main

import (
	"fmt"

	"github.com/sidetrack-go/sidetrack"
)

const (
	currency = "EUR"
	shipping = 4_900_000 // 4.90
)

type product struct {
	Slug, Name, Category, Text string
	Cents                      int64
}

var catalogue = []product{
	{"walking-boots", "Walking boots", "Shoes", "Waterproof, and older than they look.", 12900},
	{"reading-lamp", "Reading lamp", "Lamps", "Bright where you want it.", 4990},
	{"rope", "Rope, ten metres", "Climbing", "Holds what it promises.", 2450},
}

func find(slug string) (product, bool) {
	for _, p := range catalogue {
		if p.Slug == slug {
			return p, true
		}
	}
	return product{}, false
}

// Price is shown.
func (p product) Price() string { return fmt.Sprintf("%d.%02d €", p.Cents/100, p.Cents%100) }

// item is the product in events.
func (p product) item(count int) sidetrack.Item {
	return sidetrack.Item{
		ID: p.Slug, Name: p.Name, Categories: []string{p.Category},
		Price: sidetrack.MoneyOf(float64(p.Cents) / 100), HasPrice: true, Quantity: float64(count),
	}
}
