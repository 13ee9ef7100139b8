// Package processors holds the built-in processors, one file each. Those with data of
// their own are packages below it.
//
// consent, visitor, anonymize_ip, prefetch and user_data run in intake; exclude
// and bots run there or on the bus.
package processors
