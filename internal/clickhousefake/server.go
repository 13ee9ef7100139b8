// Package clickhousefake stands in for a ClickHouse server in tests: its HTTP interface, as far as an inserting client
// sees it. It is strict where ClickHouse converts in silence, and was written from ClickHouse's documentation, not from
// any client: clickhouse.com/docs on the HTTP interface, JSONEachRow, ReplacingMergeTree, deduplicating inserts on
// retries and asynchronous inserts; codes and statuses from ErrorCodes.cpp and exceptionCodeToHTTPStatus.cpp.
package clickhousefake

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Config is how a server is. The zero value has the user default without a password.
type Config struct {
	User, Password string
	Databases      []string      // beside default
	PartsToThrow   int           // active parts of a partition at which inserts are refused, until merges have halved them; 0: never
	InsertOnly     bool          // the user may insert, and nothing else
	Delay          time.Duration // how long an insert takes, before anything is stored
}

// Server is a server that runs. Methods are safe for concurrent use.
type Server struct {
	URL string

	cfg    Config
	server *httptest.Server
	done   chan struct{}

	mu       sync.Mutex
	tables   map[string]*table
	inserts  []Insert
	buffered []func() // of asynchronous inserts that nobody waits for
	fault    func(n int) *Fault
	down     bool
}

// Insert is what the server saw of one INSERT.
type Insert struct {
	Rows     int    // in its body, as far as they could be read
	Bytes    int    // of the body as sent
	Token    string // insert_deduplication_token
	Encoding string // Content-Encoding
	Code     int    // of the exception; 0: none
}

// Fault is something that goes wrong with one insert.
type Fault struct {
	Code   int         // of an exception
	Text   string      // of the exception
	Stored bool        // the rows are stored before it goes wrong: the sender cannot know
	Late   bool        // 200 has been sent before the exception: its code comes in a header after progress, its text in the body
	InBody bool        // 200 and all headers have been sent before the exception: it is in the body alone
	Status int         // answer of a proxy, without an exception
	Header http.Header // with Status
	Reset  bool        // the connection ends without an answer
	Hang   bool        // no answer comes
}

// New starts a server on a free port.
func New(cfg Config) *Server {
	if cfg.User == "" {
		cfg.User = "default"
	}
	s := &Server{cfg: cfg, tables: map[string]*table{}, done: make(chan struct{})}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.server.URL
	return s
}

// Close ends the server.
func (s *Server) Close() {
	close(s.done)
	s.server.CloseClientConnections()
	s.server.Close()
}

// Fault sets what goes wrong: f gets the number of the insert, from 0, and returns nil for one that is to work. It is called
// with the server's lock held.
func (s *Server) Fault(f func(n int) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Down makes the server refuse connections by ending them, as long as it is set. What asynchronous inserts left in
// memory without anybody waiting is lost, as when a server dies.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	s.down = down
	s.buffered = nil
	s.mu.Unlock()
	if down {
		s.server.CloseClientConnections()
	}
}

// Flush writes what asynchronous inserts left in memory.
func (s *Server) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.buffered {
		f()
	}
	s.buffered = nil
}

// Exec runs a CREATE TABLE statement, in the database default unless it names another.
func (s *Server) Exec(statement string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.create(statement, "default")
}

func (s *Server) create(statement, database string) error {
	d, err := parseCreate(statement)
	if err != nil {
		return err
	}
	if d.database == "" {
		d.database = database
	}
	if !s.has(d.database) {
		return throw(81, "Database "+d.database+" does not exist")
	}
	key := d.database + "." + d.table
	if s.tables[key] != nil {
		if d.ifNotExists {
			return nil
		}
		return throw(57, "Table "+key+" already exists")
	}
	s.tables[key] = &table{definition: d, parts: map[string]int{}}
	return nil
}

func (s *Server) has(database string) bool {
	return database == "default" || slices.Contains(s.cfg.Databases, database)
}

// Rows returns what lies in a table, named database.table: repeats too.
func (s *Server) Rows(name string) []Row { return s.rows(name, func(t *table) []Row { return t.rows }) }

// Final returns what SELECT … FINAL does.
func (s *Server) Final(name string) []Row { return s.rows(name, (*table).final) }

func (s *Server) rows(name string, f func(*table) []Row) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		return nil
	}
	out := slices.Clone(f(t))
	for i := range out {
		out[i] = maps.Clone(out[i])
	}
	return out
}

// Inserts returns what was asked for so far.
func (s *Server) Inserts() []Insert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.inserts)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	down := s.down
	s.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == "/ping" || r.URL.Path == "/" && r.Method == http.MethodGet && r.URL.RawQuery == "" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	if r.URL.Path != "/" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "There is no handle "+r.URL.Path+"\n")
		return
	}
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender has died: nothing is inserted
	}
	w.Header().Set("X-ClickHouse-Server-Display-Name", "fake")
	w.Header().Set("X-ClickHouse-Query-Id", "00000000-0000-0000-0000-000000000001")
	f, err := s.query(w, r, sent)
	if e, ok := errors.AsType[*exception](err); ok {
		answer(w, e, &Fault{})
		return
	}
	s.finish(w, r, f)
}

// finish answers a query that was run, as the fault wants it; nil: nothing went wrong.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, f *Fault) {
	switch {
	case f == nil:
		w.Header().Set("X-ClickHouse-Summary", `{"read_rows":"0","read_bytes":"0","written_rows":"0","written_bytes":"0"}`)
	case f.Reset:
		panic(http.ErrAbortHandler)
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
	case f.Status != 0:
		for k := range w.Header() {
			w.Header().Del(k)
		}
		maps.Copy(w.Header(), f.Header)
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, "<html>proxy</html>")
	default:
		answer(w, throw(f.Code, f.Text), f)
	}
}

func answer(w http.ResponseWriter, e *exception, f *Fault) {
	code := status(e.code)
	if f.Late || f.InBody {
		code = http.StatusOK
	}
	if !f.InBody {
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	}
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, "Code: %d. DB::Exception: %s. (%s) (version 25.8.1.5101 (official build))\n", e.code, strings.TrimSuffix(e.text, "."), names[e.code])
}

// query runs what a request asks for. Of that only a SELECT writes to w.
func (s *Server) query(w http.ResponseWriter, r *http.Request, sent []byte) (*Fault, error) {
	q := r.URL.Query()
	user, password := r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
	if user == "" {
		user = "default"
	}
	if user != s.cfg.User || password != s.cfg.Password {
		return nil, throw(516, user+": Authentication failed: password is incorrect, or there is no user with such name")
	}
	set, err := readSettings(q)
	if err != nil {
		return nil, err
	}
	body, err := decode(r.Header.Get("Content-Encoding"), sent)
	if err != nil {
		return nil, err
	}
	database := q.Get("database")
	if database == "" {
		database = "default"
	}
	if !s.has(database) {
		return nil, throw(81, "Database "+database+" does not exist")
	}
	statement := q.Get("query")
	if statement == "" { // the data of an insert would follow its statement: no client here sends it so
		statement, body = string(body), nil
	}
	if r.Method != http.MethodPost {
		return nil, throw(164, "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly")
	}
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(statement)), "CREATE TABLE") {
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.create(statement+"\n"+string(body), database)
	}
	if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(statement)), "INSERT") {
		s.mu.Lock()
		defer s.mu.Unlock()
		return nil, s.other(statement, set, w)
	}
	in, err := parseInsert(statement)
	if err != nil {
		return nil, err
	}
	if in.database == "" {
		in.database = database
	}
	if s.cfg.Delay > 0 {
		select {
		case <-time.After(s.cfg.Delay):
		case <-s.done:
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return &Fault{Reset: true}, nil
	}
	n := len(s.inserts)
	s.inserts = append(s.inserts, Insert{Bytes: len(sent), Token: q.Get("insert_deduplication_token"), Encoding: r.Header.Get("Content-Encoding")})
	f, err := s.insert(n, in, body, set)
	if e, ok := errors.AsType[*exception](err); ok {
		s.inserts[n].Code = e.code
	} else if f != nil {
		s.inserts[n].Code = f.Code
	}
	return f, err
}

func (s *Server) insert(n int, in *insertion, body []byte, set settings) (*Fault, error) {
	var f *Fault
	if s.fault != nil {
		f = s.fault(n)
	}
	if f != nil && !f.Stored {
		return f, nil
	}
	if in.format != "JSONEachRow" {
		return nil, throw(73, "Unknown format "+in.format)
	}
	if !s.has(in.database) {
		return nil, throw(81, "Database "+in.database+" does not exist")
	}
	t := s.tables[in.database+"."+in.table]
	if t == nil {
		return nil, throw(60, fmt.Sprintf("Table %s.%s does not exist", in.database, in.table))
	}
	rows, err := t.parse(body, in.columns, set)
	if err != nil {
		return nil, err
	}
	s.inserts[n].Rows = len(rows)
	if set.flag("async_insert") && !set.flag("wait_for_async_insert") {
		s.buffered = append(s.buffered, func() { _ = t.insert(rows, set, 0) })
		return f, nil
	}
	return f, t.insert(rows, set, s.cfg.PartsToThrow)
}

func decode(encoding string, body []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch encoding {
	case "":
		return body, nil
	case "gzip":
		r, err = gzip.NewReader(strings.NewReader(string(body)))
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(strings.NewReader(string(body)), zstd.WithDecoderConcurrency(1)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, throw(89, "Unknown compression method "+encoding)
	}
	if err == nil {
		body, err = io.ReadAll(r)
	}
	if err != nil {
		return nil, throw(271, "Cannot decompress: "+err.Error())
	}
	return body, nil
}
