package chat

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchback/handler"
	"switchback/handler/history"
	"switchback/handler/rules"
	"switchback/session"
	held "switchback/session/memory"
)

const (
	hello = `{'type':'message','room':'r','offset':'E/1','at':'AT','user':'kim','id':'c1','text':'hello <b>\n'}`
	again = `{'type':'message','room':'r','offset':'E/2','at':'AT','user':'lee','id':'c1','text':'hello'}`
)

// The protocol, byte for byte: an open room, which the first who joins it makes.
func TestOpenRoom(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim := w.comes("kim")
		kim.gets(`{'type':'welcome','user':'kim','rooms':[]}`)
		kim.says(`{'type':'join','room':'r','limit':50}`)
		kim.gets(`{'type':'joined','room':'r','offset':'E/0','members':['kim'],'messages':[]}`)
		kim.says(`{'type':'message','room':'r','id':'c1','text':'hello <b>\n'}`)
		kim.gets(hello, `{'type':'ack','id':'c1','room':'r','offset':'E/1'}`)
		kim.says(`{'type':'message','room':'r','id':'c1','text':'hello <b>\n'}`) // sent again
		kim.gets(`{'type':'ack','id':'c1','room':'r','offset':'E/1'}`)

		lee := w.comes("lee")
		lee.says(`{'type':'join','room':'r'}`)
		lee.gets(`{'type':'welcome','user':'lee','rooms':[]}`,
			`{'type':'joined','room':'r','offset':'E/1','members':['kim','lee'],'messages':[`+hello+`]}`)
		kim.gets(`{'type':'presence','room':'r','user':'lee','online':true}`)
		lee.says(`{'type':'message','room':'r','id':'c1','text':'hello'}`) // of another user the same id
		lee.gets(again, `{'type':'ack','id':'c1','room':'r','offset':'E/2'}`)
		kim.gets(`{'type':'unread','room':'r','count':1}`, again)
		lee.says(`{'type':'typing','room':'r'}`, `{'type':'typing','room':'r'}`)
		kim.gets(`{'type':'typing','room':'r','user':'lee'}`)
		time.Sleep(time.Second)
		lee.says(`{'type':'typing','room':'r'}`)
		kim.gets(`{'type':'typing','room':'r','user':'lee'}`)
		lee.says(`{'type':'message','room':'r','id':'c1','text':'hello'}`, `{'type':'typing','room':'r'}`) // of the next message
		lee.gets(`{'type':'ack','id':'c1','room':'r','offset':'E/2'}`)
		kim.gets(`{'type':'typing','room':'r','user':'lee'}`)

		kim.sends(`{'type':'read','room':'r','offset':'E/2'}`)
		kim.gets(`{'type':'unread','room':'r','count':0}`)
		kim.says(`{'type':'history','room':'r'}`, `{'type':'history','room':'r','limit':1}`)
		kim.gets(`{'type':'history','room':'r','messages':[`+hello+`,`+again+`]}`, `{'type':'history','room':'r','messages':[`+again+`],'more':true}`)
		kim.sends(`{'type':'history','room':'r','before':'E/2','limit':100}`, `{'type':'history','room':'r','before':'E/3'}`, `{'type':'history','room':'r','before':'E/1'}`, `{'type':'history','room':'r','before':'E/0'}`)
		kim.gets(`{'type':'history','room':'r','messages':[`+hello+`]}`, `{'type':'history','room':'r','messages':[`+hello+`,`+again+`]}`,
			`{'type':'history','room':'r','messages':[]}`, `{'type':'history','room':'r','messages':[]}`)
		kim.says(`{'type':'members','room':'r'}`, `{'type':'members','room':'r','after':'kim'}`)
		kim.gets(`{'type':'members','room':'r','members':['kim','lee']}`, `{'type':'members','room':'r','members':['lee']}`)

		lee.says(`{'type':'leave','room':'r'}`)
		lee.gets(`{'type':'left','room':'r'}`)
		kim.gets(`{'type':'presence','room':'r','user':'lee','online':false}`)
		kim.says(`{'type':'message','room':'r','id':'c2','text':'gone?'}`)
		lee.gets(`{'type':'unread','room':'r','count':1}`)
		lee.sends(`{'type':'join','room':'r','since':'E/1'}`)
		lee.gets(`{'type':'joined','room':'r','offset':'E/3','members':['kim','lee'],'messages':[` + again +
			`,{'type':'message','room':'r','offset':'E/3','at':'` + w.began.Add(time.Second).UTC().Format(time.RFC3339Nano) + `','user':'kim','id':'c2','text':'gone?'}]}`)
		if s := w.chat.Stats(); s.Joined.Load() != 2 || s.Watched.Load() != 2 {
			t.Errorf("%d are joined, %d watched", s.Joined.Load(), s.Watched.Load())
		}
		lee.says(`{'type':'rooms'}`)
		lee.gets(`{'type':'rooms','rooms':[{'room':'r','unread':1}]}`)
		if s := w.chat.Stats(); s.Messages.Load() != 3 || s.Duplicates.Load() != 2 || s.Created.Load() != 1 || s.Quiet.Load() != 1 || s.Typing.Load() != 3 || s.Read.Load() != 1 {
			t.Errorf("counted %d messages, %d duplicates, %d rooms, %d quiet", s.Messages.Load(), s.Duplicates.Load(), s.Created.Load(), s.Quiet.Load())
		}
	})
}

// Who is absent finds the room with its count; who reads it has the count fall for all of
// their sessions.
func TestRoomOfTwo(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim, kims, lee := w.comes("kim"), w.comes("kim"), w.comes("lee")
		for _, k := range []*talker{kim, kims, lee} {
			k.gets(`{'type':'welcome','user':'` + k.s.Peer().User() + `','rooms':[]}`)
		}
		kim.says(`{'type':'create','members':['lee'],'id':'q'}`)
		kim.gets(`{'type':'created','room':'@kim,lee'}`)
		kims.gets(`{'type':'unread','room':'@kim,lee','count':0}`)
		lee.gets(`{'type':'unread','room':'@kim,lee','count':0}`)
		lee.says(`{'type':'create','members':['kim']}`)
		lee.gets(`{'type':'created','room':'@kim,lee'}`)
		lee.close()

		for i := range 3 {
			kim.says(fmt.Sprintf(`{'type':'message','room':'@kim,lee','id':'c%d','text':'%d'}`, i, i))
		}
		synctest.Wait()
		kim.read = len(kim.s.Texts())
		kims.gets()
		lees := []*talker{w.comes("lee"), w.comes("lee")}
		for _, k := range lees {
			k.gets(`{'type':'welcome','user':'lee','rooms':[{'room':'@kim,lee','unread':3}]}`)
		}
		lees[0].says(`{'type':'history','room':'@kim,lee','limit':1}`)
		if got := lees[0].s.Texts()[1]; !strings.Contains(got, `"text":"2"`) || !strings.Contains(got, `"more":true`) {
			t.Errorf("got %s", got)
		}
		lees[0].read++
		topic, _ := w.store.Store.Topic(context.Background(), "/chat/@kim,lee")
		lees[0].says(`{'type':'read','room':'@kim,lee','offset':'` + topic.Position().String() + `'}`)
		for _, k := range lees {
			k.gets(`{'type':'unread','room':'@kim,lee','count':0}`)
		}
		ann := w.comes("ann")
		ann.gets(`{'type':'welcome','user':'ann','rooms':[]}`)
		for _, request := range []string{`'join'`, `'message','id':'x','text':'y'`, `'history'`, `'read','offset':'` + topic.Position().String() + `'`, `'members'`} {
			ann.says(`{'type':` + request + `,'room':'@kim,lee'}`)
		}
		ann.says(`{'type':'typing','room':'@kim,lee','id':'q'}`, `{'type':'leave','room':'@kim,lee'}`)
		unknown := `{'type':'error','code':'unknown_room','text':'there is no such room'}`
		ann.gets(unknown, `{'type':'error','code':'unknown_room','text':'there is no such room','id':'x'}`, unknown, unknown, unknown,
			`{'type':'error','code':'not_joined','text':'join the room first','id':'q'}`, `{'type':'error','code':'not_joined','text':'the session is not in the room'}`)
		kim.gets()
		if got := w.kept("@kim,lee"); got != "0 1 2" {
			t.Errorf("kept %q", got)
		}
	})
}

func TestRoomOfNamedMembers(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim, lee, ann := w.comes("kim"), w.comes("lee"), w.comes("ann")
		kim.says(`{'type':'create','room':'r','members':['lee','lee','kim']}`, `{'type':'members','room':'r'}`, `{'type':'create','room':'r'}`)
		kim.gets(`{'type':'welcome','user':'kim','rooms':[]}`, `{'type':'created','room':'r'}`, `{'type':'members','room':'r','members':[],'named':['kim','lee']}`,
			`{'type':'error','code':'exists','text':'there is a room of the name'}`)
		lee.says(`{'type':'join','room':'r','limit':0}`)
		lee.gets(`{'type':'welcome','user':'lee','rooms':[]}`, `{'type':'unread','room':'r','count':0}`,
			`{'type':'joined','room':'r','offset':'E/0','members':['lee'],'messages':[]}`)
		ann.says(`{'type':'join','room':'r'}`, `{'type':'create','room':'s'}`)
		ann.gets(`{'type':'welcome','user':'ann','rooms':[]}`, `{'type':'error','code':'unknown_room','text':'there is no such room'}`, `{'type':'created','room':'s'}`)
		lee.says(`{'type':'message','room':'s','id':'1','text':'to a room that one is not in'}`)
		lee.gets(`{'type':'ack','id':'1','room':'s','offset':'` + position1(w, "s") + `'}`)
		ann.gets(`{'type':'unread','room':'s','count':1}`)
	})
}

// position1 is that of the first message in a room.
func position1(w *world, room string) string {
	found, err := w.store.Store.Topic(context.Background(), w.chat.topic(room))
	if err != nil {
		w.Error(err)
	}
	return history.Position{Epoch: found.Epoch, Offset: 1}.String()
}

// What comes while many talk is counted, and told at most twice a second; what falls, at
// once.
func TestUnreadIsToldSeldom(t *testing.T) {
	in(t, Options{}, func(w *world) {
		lee := w.comes("lee")
		lee.says(`{'type':'join','room':'r'}`, `{'type':'leave','room':'r'}`)
		synctest.Wait()
		lee.read = len(lee.s.Texts())
		kim := w.comes("kim")
		kim.says(`{'type':'join','room':'r'}`)
		for i := range 1500 {
			kim.says(fmt.Sprintf(`{'type':'message','room':'r','id':'%d','text':'x'}`, i))
		}
		lee.gets(`{'type':'unread','room':'r','count':1}`)
		time.Sleep(time.Second)
		lee.gets(`{'type':'unread','room':'r','count':1000}`) // which is where counting ends
		lee.sends(`{'type':'read','room':'r','offset':'E/1498'}`, `{'type':'read','room':'r','offset':'E/7'}`)
		lee.gets(`{'type':'unread','room':'r','count':2}`, `{'type':'unread','room':'r','count':2}`) // a mark does not go back
		late := w.comes("lee")
		late.gets(`{'type':'welcome','user':'lee','rooms':[{'room':'r','unread':2}]}`)
	})
}

// Whatever comes before, between and after, the count is in the end that of the store.
func TestUnreadIsWhatTheStoreHas(t *testing.T) {
	in(t, Options{UnreadInterval: time.Millisecond}, func(w *world) {
		kim, lee := w.comes("kim"), w.comes("lee")
		kim.says(`{'type':'create','room':'r','members':['lee']}`)
		go func() {
			for i := range 300 {
				kim.says(fmt.Sprintf(`{'type':'message','room':'r','id':'%d','text':'x'}`, i))
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		}()
		for i := range 40 {
			time.Sleep(time.Millisecond)
			lee.sends(fmt.Sprintf(`{'type':'read','room':'r','offset':'E/%d'}`, i))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		found, err := w.store.Unread(t.Context(), "lee", []string{"/chat/r"}, 1000)
		texts := lee.s.Texts()
		if last := texts[len(texts)-1]; err != nil || last != fmt.Sprintf(`{"type":"unread","room":"r","count":%d}`, found[0].Count) || found[0].Count < 200 {
			t.Errorf("told %s, the store has %d, %v", last, found[0].Count, err)
		}
	})
}

func TestBadInput(t *testing.T) {
	in(t, Options{MemberLimit: 10}, func(w *world) {
		kim := w.comes("kim")
		kim.says(`{'type':'join','room':'r'}`, `{'type':'message','room':'r','id':'1','text':'x'}`)
		synctest.Wait()
		kim.read = len(kim.s.Texts())
		const sql = `); DROP TABLE topics; --`
		for _, c := range []struct{ request, code, text, id string }{
			{`{'type':'message','room':'nowhere','id':'c','text':'x'}`, "unknown_room", "there is no such room", "c"},
			{`{'type':'history','room':'nowhere','id':'c'}`, "unknown_room", "there is no such room", "c"},
			{`{'type':'read','room':'nowhere','offset':'E/1'}`, "unknown_room", "there is no such room", ""},
			{`{'type':'members','room':'nowhere'}`, "unknown_room", "there is no such room", ""},
			{`{'type':'join','room':'@kim,lee'}`, "unknown_room", "there is no such room", ""},
			{`{'type':'message','room':'r','id':'c','text':'` + strings.Repeat("x", 4097) + `'}`, "too_long", "a text has at most 4096 bytes", "c"},
			{`{'type':'message','room':'r','id':'` + strings.Repeat("x", 65) + `','text':'x'}`, "too_long", "an id has at most 64 bytes", ""},
			{`{'type':'join','room':'` + strings.Repeat("x", 129) + `'}`, "too_long", "the name of a room has at most 128 bytes", ""},
			{`{'type':'create','members':['` + strings.Repeat("x", 125) + `']}`, "too_long", "the name of a room has at most 128 bytes", ""},
			{`{'type':'message','room':'r','id':'a b','text':'x'}`, "bad_request", "an id has no blanks and no control characters", ""},
			{`{'type':'message','room':'r','text':'x'}`, "bad_request", "a message has an id that its client gives it", ""},
			{`{'type':'message','room':'r','id':'c'}`, "bad_request", "a message has a text", "c"},
			{`{'type':'join','room':'a/b'}`, "bad_request", "room is the name of one, without slashes and control characters", ""},
			{`{'type':'join','room':'a\u0000b'}`, "bad_request", "room is the name of one, without slashes and control characters", ""},
			{`{'type':'join'}`, "bad_request", "room is the name of one, without slashes and control characters", ""},
			{`{'type':'create'}`, "bad_request", "room is the name of one, without slashes and control characters", ""},
			{`{'type':'create','members':['kim']}`, "bad_request", "room is the name of one, without slashes and control characters", ""},
			{`{'type':'create','room':'@kim,lee'}`, "bad_request", "no name begins with @; for a room of two, leave room out and name the other in members", ""},
			{`{'type':'create','room':'s','members':['']}`, "bad_request", "a member is the name of a user, of at most 128 bytes, without control characters", ""},
			{`{'type':'create','room':'s','members':[` + strings.Repeat(`'x',`, 9999) + `'x']}`, "limited", "a room has at most 10 members", ""},
			{`{'type':'create','room':'s','members':['0','1','2','3','4','5','6','7','8','9']}`, "limited", "a room has at most 10 members", ""},
			{`{'type':'read','room':'r','offset':'E/2'}`, "bad_offset", "the offset is none of the room", ""},
			{`{'type':'read','room':'r','offset':'1/1'}`, "bad_offset", "the offset is none of the room", ""},
			{`{'type':'read','room':'r','offset':'E/-1'}`, "bad_offset", "an offset is EPOCH/OFFSET as a message had it", ""},
			{`{'type':'read','room':'r','offset':'1'}`, "bad_offset", "an offset is EPOCH/OFFSET as a message had it", ""},
			{`{'type':'read','room':'r'}`, "bad_offset", "an offset is EPOCH/OFFSET as a message had it", ""},
			{`{'type':'history','room':'r','before':'E/3'}`, "bad_offset", "the offset is none of the room", ""},
			{`{'type':'history','room':'r','before':'1/1'}`, "bad_offset", "the offset is none of the room", ""},
			{`{'type':'history','room':'r','before':'E/18446744073709551616'}`, "bad_offset", "an offset is EPOCH/OFFSET as a message had it", ""},
			{`{'type':'join','room':'r','since':'` + sql + `'}`, "bad_offset", "an offset is EPOCH/OFFSET as a message had it", ""},
			{`{'type':'history','room':'r','limit':-1}`, "bad_request", "limit is 1 to 100", ""},
			{`{'type':'history','room':'r','limit':0}`, "bad_request", "limit is 1 to 100", ""},
			{`{'type':'history','room':'r','limit':101}`, "bad_request", "limit is 1 to 100", ""},
			{`{'type':'join','room':'r','limit':-1}`, "bad_request", "limit is 0 to 100", ""},
			{`{'type':'history','room':'r','limit':1.5,'id':'c'}`, "bad_request", "limit cannot be a JSON number 1.5", "c"},
			{`{'type':'history','room':'r','limit':'50','id':'c'}`, "bad_request", "limit cannot be a JSON string", "c"},
			{`{'type':'join','room':['r']}`, "bad_request", "room cannot be a JSON array", ""},
			{`{'type':'shout','room':'r','id':'c'}`, "bad_request", "type is create, history, join, leave, members, message, read, rooms or typing", "c"},
			{`[]`, "bad_request", "a request is a JSON object such as {'type':'join','room':'r'}", ""},
			{`{'type':'join'`, "bad_request", "a request is a JSON object such as {'type':'join','room':'r'}", ""},
			{``, "bad_request", "a request is a JSON object such as {'type':'join','room':'r'}", ""},
			{"{'type':'message','room':'r','id':'c','text':'\xff'}", "bad_request", "a request is UTF-8", ""},
		} {
			kim.sends(c.request)
			want := fmt.Sprintf(`{'type':'error','code':'%s','text':'%s'`, c.code, strings.ReplaceAll(c.text, "'", `\'`))
			if c.id != "" {
				want += `,'id':'` + c.id + `'`
			}
			kim.gets(want + "}")
		}
		if got := w.kept("r"); got != "x" {
			t.Errorf("%q is kept", got)
		}
		topics, err := w.store.Topics(t.Context(), "", 100)
		if err != nil || len(topics) != 1 {
			t.Errorf("there are the topics %v, %v", topics, err)
		}
		s := w.chat.Stats()
		if got := [...]int64{s.Bad.Load(), s.TooLong.Load(), s.Unknown.Load(), s.Limited.Load()}; got != [...]int64{31, 4, 5, 2} {
			t.Errorf("counted %v", got)
		}
	})
}

// What looks like a statement of a database, or like a name of ours, is a text like others.
func TestTextsAreNotInterpreted(t *testing.T) {
	in(t, Options{}, func(w *world) {
		const sql = `'; DROP TABLE entries; -- %_\\"`
		kim := w.comes(sql)
		quoted := strings.ReplaceAll(strings.ReplaceAll(sql, `\`, `\\`), `"`, `\"`)
		for _, request := range []string{
			`{"type":"create","room":"` + quoted + `","members":["` + quoted + `","+x","=x"]}`,
			`{"type":"join","room":"` + quoted + `"}`,
			`{"type":"message","room":"` + quoted + `","id":"';DROP","text":"` + quoted + `"}`,
			`{"type":"typing","room":"` + quoted + `"}`,
			`{"type":"members","room":"` + quoted + `","after":"` + quoted + `"}`,
			`{"type":"rooms","after":"` + quoted + `"}`,
		} {
			kim.h.OnMessage(kim.s, []byte(request))
		}
		synctest.Wait()
		got := kim.s.Texts()
		for _, text := range got {
			if strings.Contains(text, `"error"`) {
				t.Error(text)
			}
		}
		if got := w.kept(sql); got != sql || len(kim.s.Texts()) != 7 {
			t.Errorf("kept %q, sent %q", got, kim.s.Texts())
		}
		plus := w.comes("+x")
		if got := plus.s.Texts()[0]; !strings.Contains(got, `"unread":1}`) {
			t.Errorf("got %s", got)
		}
	})
}

func TestRulesDecide(t *testing.T) {
	may := func(on rules.Action, to string, users ...string) rules.Rule {
		return rules.Rule{On: []rules.Action{on}, To: []string{to}, Allow: true, Who: rules.Who{Users: users}}
	}
	list := mustRules(t,
		rules.Rule{On: []rules.Action{rules.Connect}, Who: rules.Who{Users: []string{"eve"}}},
		may(rules.Create, "/chat/*", "ann"), may(rules.Join, "/chat/*", "ann", "kim", "lee"), may(rules.Read, "/chat/*", "ann", "kim"), may(rules.Send, "/chat/*", "ann", "lee"))
	in(t, Options{Rules: list}, func(w *world) {
		ann, kim, lee, bob := w.comes("ann"), w.comes("kim"), w.comes("lee"), w.comes("bob")
		for _, k := range []*talker{ann, kim, lee, bob} {
			k.read++
		}
		kim.says(`{'type':'join','room':'r'}`, `{'type':'create','room':'r'}`)
		kim.gets(`{'type':'error','code':'unknown_room','text':'there is no such room'}`, `{'type':'error','code':'forbidden','text':'you may not create here'}`)
		ann.says(`{'type':'join','room':'r'}`, `{'type':'message','room':'r','id':'1','text':'x'}`, `{'type':'leave','room':'r'}`)
		synctest.Wait()
		kim.says(`{'type':'join','room':'r','limit':0}`, `{'type':'message','room':'r','id':'1','text':'x'}`, `{'type':'typing','room':'r'}`)
		kim.gets(`{'type':'joined','room':'r','offset':'E/1','members':['kim'],'messages':[]}`,
			`{'type':'error','code':'forbidden','text':'you may not send here','id':'1'}`, `{'type':'error','code':'forbidden','text':'you may not send here'}`)
		lee.sends(`{'type':'join','room':'r'}`, `{'type':'join','room':'r','since':'E/1'}`, `{'type':'history','room':'r'}`, `{'type':'read','room':'r','offset':'E/1'}`,
			`{'type':'message','room':'r','id':'1','text':'y'}`, `{'type':'join','room':'r','limit':0}`)
		no := `{'type':'error','code':'forbidden','text':'you may not read here'}`
		lee.gets(no, no, no, no, `{'type':'ack','id':'1','room':'r','offset':'E/2'}`, `{'type':'joined','room':'r','offset':'E/2','members':['kim','lee'],'messages':[]}`)
		bob.says(`{'type':'join','room':'r'}`, `{'type':'members','room':'r'}`)
		bob.gets(`{'type':'error','code':'forbidden','text':'you may not join here'}`, `{'type':'error','code':'forbidden','text':'you may not join here'}`)
		for user, want := range map[string]string{"eve": "Access denied", "": "Who is asking? A name of the user is needed", strings.Repeat("x", 129): "Who is asking? A name of the user is needed"} {
			k := w.comes(user)
			if end := k.s.End(); end == nil || end.Code != session.CodePolicy || end.Reason != want || len(k.s.Texts()) > 0 {
				t.Errorf("%q: %+v, %q", user, end, k.s.Texts())
			}
		}
		if n := w.chat.Stats().Forbidden.Load(); n != 10 {
			t.Errorf("%d are counted", n)
		}
	})
}

func TestLimitsRefuse(t *testing.T) {
	in(t, Options{JoinLimit: 2, MemberLimit: 2, RoomUserLimit: 3, WatchLimit: 2, PageLimit: 2, TextLimit: 3}, func(w *world) {
		kim := w.comes("kim")
		kim.read++
		kim.says(`{'type':'join','room':'r'}`, `{'type':'join','room':'b'}`)
		kim.read += 2
		kim.says(`{'type':'join','room':'c'}`, `{'type':'message','room':'r','id':'1','text':'long'}`, `{'type':'history','room':'r','limit':3}`)
		kim.gets(`{'type':'error','code':'limited','text':'a session is in at most 2 rooms'}`, `{'type':'error','code':'too_long','text':'a text has at most 3 bytes','id':'1'}`,
			`{'type':'error','code':'bad_request','text':'limit is 1 to 2'}`)
		kim.says(`{'type':'leave','room':'b'}`, `{'type':'join','room':'c'}`, `{'type':'create','room':'d'}`)
		synctest.Wait()
		fresh := w.comes("kim")
		fresh.says(`{'type':'rooms','after':'c'}`)
		fresh.gets(`{'type':'welcome','user':'kim','rooms':[{'room':'b','unread':0},{'room':'c','unread':0}],'more':true}`,
			`{'type':'rooms','rooms':[{'room':'d','unread':0},{'room':'r','unread':0}]}`)

		kim.says(`{'type':'leave','room':'c'}`) // with r it would be one of three that are watched
		synctest.Wait()
		kim.read = len(kim.s.Texts())
		fresh.says(`{'type':'message','room':'c','id':'1','text':'x'}`)
		kim.gets()

		var others []*talker
		for _, user := range []string{"1", "2", "3"} {
			k := w.comes(user)
			k.says(`{'type':'join','room':'r'}`)
			others = append(others, k)
		}
		others[2].gets(`{'type':'welcome','user':'3','rooms':[]}`, `{'type':'error','code':'limited','text':'as many are in the room, or in rooms, as may be'}`)
		others[1].says(`{'type':'message','room':'r','id':'1','text':'x'}`)
		others[0].close()
		others[1].close()
		w.comes("1").gets(`{'type':'welcome','user':'1','rooms':[{'room':'r','unread':1}]}`)
		w.comes("2").gets(`{'type':'welcome','user':'2','rooms':[]}`) // the room had its members
		s := w.chat.Stats()
		if got := [...]int64{s.Limited.Load(), s.Unnamed.Load(), s.Unwatched.Load()}; got != [...]int64{2, 1, 5} {
			t.Errorf("counted %v", got)
		}
	})
}

// Who is a member of as many rooms as may be makes none, but may be in those of others, where
// the others' count as well.
func TestUserMakesSoManyRooms(t *testing.T) {
	const refused = `{'type':'error','code':'limited','text':'who is a member of 2 rooms makes no more'}`
	in(t, Options{RoomLimit: 2}, func(w *world) {
		kim, lee := w.comes("kim"), w.comes("lee")
		kim.says(`{'type':'create','room':'a'}`)
		lee.says(`{'type':'create','room':'b','members':['kim']}`, `{'type':'create','room':'c'}`)
		synctest.Wait()
		kim.read, lee.read = len(kim.s.Texts()), len(lee.s.Texts())
		kim.says(`{'type':'create','room':'d'}`, `{'type':'join','room':'d'}`, `{'type':'create','members':['lee']}`)
		kim.gets(refused, refused, refused)
		lee.says(`{'type':'join','room':'d'}`)
		lee.gets(refused)
		if n := w.chat.Stats().Limited.Load(); n != 4 {
			t.Errorf("counted %d", n)
		}
		kim.says(`{'type':'join','room':'c'}`)
		synctest.Wait()
		if last := kim.s.Texts()[len(kim.s.Texts())-1]; !strings.Contains(last, `"joined"`) {
			t.Errorf("got %s", last)
		}
	})
}

func TestMemoryRefuses(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim := w.comes("kim")
		kim.read++
		limit := held.SetLimit(4 * held.Kept.Used())
		kim.says(`{'type':'join','room':'r','id':'1'}`)
		held.SetLimit(limit)
		kim.gets(`{'type':'error','code':'unavailable','text':'not now: try again','id':'1'}`)
		kim.says(`{'type':'join','room':'r'}`)
		kim.gets(`{'type':'joined','room':'r','offset':'E/0','members':['kim'],'messages':[]}`)
	})
}

// While the store is away requests are refused and sessions stay; who sends again then has
// everything stored once.
func TestStoreThatIsAway(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim, lee := w.comes("kim"), w.comes("lee")
		kim.says(`{'type':'join','room':'r'}`)
		lee.says(`{'type':'join','room':'r'}`)
		synctest.Wait()
		kim.read, lee.read = len(kim.s.Texts()), len(lee.s.Texts())
		w.store.set(true)
		requests := []string{
			`{'type':'message','room':'r','id':'1','text':'x'}`, `{'type':'history','room':'r','id':'1'}`, `{'type':'read','room':'r','offset':'E/0','id':'1'}`,
			`{'type':'join','room':'s','id':'1'}`, `{'type':'rooms','id':'1'}`, `{'type':'members','room':'r','id':'1'}`, `{'type':'message','room':'r','id':'1','text':'x'}`,
		}
		no := `{'type':'error','code':'unavailable','text':'not now: try again','id':'1'}`
		kim.sends(requests...)
		kim.gets(no, no, no, no, no, no, no)
		late := w.comes("ann")
		late.gets(`{'type':'welcome','user':'ann','rooms':[]}`, `{'type':'error','code':'unavailable','text':'not now: try again'}`)
		kim.says(`{'type':'typing','room':'r'}`)
		lee.gets(`{'type':'typing','room':'r','user':'kim'}`)
		w.store.set(false)
		time.Sleep(10 * time.Second)
		kim.says(requests[0], requests[0])
		kim.read++
		ack := `{'type':'ack','id':'1','room':'r','offset':'E/1'}`
		kim.gets(ack, ack)
		if got := w.kept("r"); got != "x" {
			t.Errorf("kept %q", got)
		}
		if kim.s.End() != nil || w.chat.Stats().Unavailable.Load() != 8 {
			t.Errorf("ended %v, counted %d", kim.s.End(), w.chat.Stats().Unavailable.Load())
		}
	})
}

// Who comes back has what was missed, and is told where that is not all.
func TestComingBack(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim := w.comes("kim")
		kim.says(`{'type':'join','room':'r'}`)
		for i := range 1200 {
			kim.says(fmt.Sprintf(`{'type':'message','room':'r','id':'%d','text':'x'}`, i))
		}
		synctest.Wait()
		for since, want := range map[string]string{
			"E/1200": `"offset":"E/1200","members":["kim","lee"],"messages":[]}`,
			"E/1199": `"offset":"E/1200","members":["kim","lee"],"messages":[{"type":"message","room":"r","offset":"E/1200",`,
			"E/0":    `"offset":"E/1200","members":["kim","lee"],"gap":true,"messages":[{"type":"message","room":"r","offset":"E/201",`,
			"E/9999": `"offset":"E/1200","members":["kim","lee"],"gap":true,"messages":[]}`,
			"1/1":    `"offset":"E/1200","members":["kim","lee"],"gap":true,"messages":[]}`,
		} {
			lee := w.comes("lee")
			lee.sends(`{'type':'join','room':'r','since':'` + since + `'}`)
			texts := lee.s.Texts()
			if len(texts) != 2 || !strings.HasPrefix(texts[1], `{"type":"joined","room":"r",`+lee.whole(want)) {
				t.Errorf("since %s: %.300q", since, texts[1:])
			}
			lee.close()
		}
	})
}

// Where something did not come live, the next message says so.
func TestGapWithinARoom(t *testing.T) {
	in(t, Options{}, func(w *world) {
		kim := w.comes("kim")
		kim.says(`{'type':'join','room':'r'}`, `{'type':'message','room':'r','id':'1','text':'x'}`)
		synctest.Wait()
		kim.read = len(kim.s.Texts())
		found, _ := w.store.Store.Topic(t.Context(), "/chat/r")
		w.log.Hub().Deliver(t.Context(), &handler.Publication{Epoch: found.Epoch, Offset: 3, At: w.began, User: "lee", ID: "foreign", Text: []byte("y")}, "/chat/r")
		kim.gets(`{'type':'unread','room':'r','count':1}`, `{'type':'message','room':'r','offset':'E/3','at':'AT','user':'lee','text':'y','gap':true}`)
	})
}

// Who comes or goes while somebody joins is told to them after they have joined.
func TestPresenceWhileJoining(t *testing.T) {
	in(t, Options{}, func(w *world) {
		p := &place{c: w.comes("kim").h.(*client), name: "r"}
		k := w.open[0]
		k.read++
		p.hold()
		for _, c := range []struct{ user, id string }{{"kim", cameID}, {"lee", cameID}, {"ann", wentID}, {"bob", cameID}, {"bob", wentID}, {"eve", cameID}, {"eve", typingOf}} {
			(*company)(p).Receive(&handler.Publication{ID: c.id, User: c.user})
		}
		k.gets()
		p.release([]string{"ann", "eve", "kim"})
		synctest.Wait()
		got := strings.Join(k.s.Texts()[1:], " ")
		if !strings.Contains(got, `"lee","online":true`) || !strings.Contains(got, `"ann","online":false`) || len(k.s.Texts()) != 3 {
			t.Errorf("got %s", got)
		}
		k.read = 3
		(*company)(p).Receive(&handler.Publication{ID: wentID, User: "lee", Text: []byte("gone")})
		k.gets("gone")
	})
}

func TestWrongOptions(t *testing.T) {
	in(t, Options{}, func(w *world) {
		for want, o := range map[string]Options{
			"chat: Log is nil; it must keep what is said":                                           {Path: "/chat"},
			`chat: Path is "chat"; it must be that of the endpoint, such as /chat`:                  {Log: w.log, Path: "chat"},
			"chat: the history does not keep /x/room; it needs a policy for it":                     {Log: w.log, Path: "/x"},
			"chat: the history does not keep /x; it needs a policy for it":                          {Log: w.log, Path: "/x", Protocol: Text},
			"chat: JoinLimit is -1; it must not be negative":                                        {Log: w.log, Path: "/chat", JoinLimit: -1},
			"chat: NameLimit and IdentifierLimit are 200 and 64; together they must be at most 254": {Log: w.log, Path: "/chat", NameLimit: 200},
		} {
			if _, err := New(o); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
