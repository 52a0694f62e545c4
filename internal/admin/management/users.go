package management

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/polylog-mq/polylog/internal/broker"
	"github.com/polylog-mq/polylog/internal/state/access"
	"github.com/polylog-mq/polylog/internal/state/parameter"
)

// userInfo is a user, in answers and in definitions.
type userInfo struct {
	Name     string    `json:"name"`
	Hash     string    `json:"password_hash"`
	Hashing  string    `json:"hashing_algorithm"`
	Tags     any       `json:"tags"`
	Limits   rawObject `json:"limits"`
	Password *string   `json:"password,omitempty"` // only in requests
}

func describeUser(b *broker.Broker, u *access.User) userInfo {
	list := u.Tags
	if list == nil {
		list = []string{}
	}
	return userInfo{
		Name: u.Name, Hash: base64.StdEncoding.EncodeToString(u.Hash), Hashing: u.Hashing.String(), Tags: list,
		Limits: limitsOf(b, parameter.UserLimits, u.Name),
	}
}

// spec reads what a request, or a definition, says of a user.
func (u *userInfo) spec(name string) (*broker.UserSpec, error) {
	s := &broker.UserSpec{Name: name, Tags: tagList(u.Tags)}
	if u.Password != nil && *u.Password != "" {
		s.Password = *u.Password
		return s, nil
	}
	hashing, err := access.ParseHashing(u.Hashing)
	if err != nil {
		return nil, err
	}
	if s.Hash, err = base64.StdEncoding.DecodeString(u.Hash); err != nil {
		return nil, fmt.Errorf("password_hash of user %s: %w", name, err)
	}
	s.Hashing = hashing
	return s, nil
}

// load makes the user, with exactly these limits.
func (u *userInfo) load(b *broker.Broker) error {
	spec, err := u.spec(u.Name)
	if err != nil {
		return err
	}
	if _, err := putUser(b, spec); err != nil {
		return err
	}
	return setLimits(b, parameter.UserLimits, u.Name, u.Limits)
}

func putUser(b *broker.Broker, s *broker.UserSpec) (created bool, err error) {
	err = wait(func(done func(error)) {
		b.PutUser(s, func(is bool, err error) {
			created = is
			done(err)
		})
	})
	return created, err
}

func (a *api) users(q *request) {
	list := []userInfo{}
	for _, u := range q.broker.Users() {
		list = append(list, describeUser(q.broker, u))
	}
	rows(q, list)
}

// theUser returns the user of the path; without one it has answered.
func (q *request) theUser() *access.User {
	u := q.broker.User(q.r.PathValue("user"))
	if u == nil {
		q.notFound()
	}
	return u
}

func (a *api) user(q *request) {
	if u := q.theUser(); u != nil {
		q.answer(describeUser(q.broker, u))
	}
}

func (a *api) putUser(q *request) {
	var body userInfo
	if !q.read(&body) {
		return
	}
	if body.Tags == nil {
		fail(q.w, http.StatusBadRequest, "bad_request", "tags_not_present")
		return
	}
	spec, err := body.spec(q.r.PathValue("user"))
	if err == nil && body.Password == nil && body.Hash == "" {
		spec.KeepPassword = q.broker.User(spec.Name) != nil
	}
	if err != nil {
		fail(q.w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	created, err := putUser(q.broker, spec)
	if err != nil {
		q.refused(err)
		return
	}
	q.done(created)
}

func (a *api) deleteUser(q *request) {
	if q.theUser() == nil {
		return
	}
	if err := wait(func(done func(error)) { q.broker.DeleteUser(q.r.PathValue("user"), done) }); err != nil {
		q.refused(err)
		return
	}
	q.done(false)
}

// permissionInfo is what a user may do in a vhost.
type permissionInfo struct {
	User      string `json:"user"`
	Vhost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// tenantName is the vhost of a state's tenant: the default one has no name
// there.
func tenantName(tenant string) string {
	if tenant == "" {
		return broker.DefaultTenant
	}
	return tenant
}

func allPermissions(b *broker.Broker) []permissionInfo {
	list := []permissionInfo{}
	for _, u := range b.Users() {
		for _, p := range u.Permissions {
			list = append(list, permissionInfo{u.Name, tenantName(p.Tenant), p.Configure.String(), p.Write.String(), p.Read.String()})
		}
	}
	slices.SortStableFunc(list, func(x, y permissionInfo) int { return strings.Compare(x.Vhost, y.Vhost) })
	return list
}

// showPermissions answers with the permissions that fit.
func (q *request) showPermissions(fits func(permissionInfo) bool) {
	list := []permissionInfo{}
	for _, p := range allPermissions(q.broker) {
		if fits(p) {
			list = append(list, p)
		}
	}
	rows(q, list)
}

func (a *api) permissions(q *request) {
	q.showPermissions(func(permissionInfo) bool { return true })
}

func (a *api) userPermissions(q *request) {
	if u := q.theUser(); u != nil {
		q.showPermissions(func(p permissionInfo) bool { return p.User == u.Name })
	}
}

func (a *api) vhostPermissions(q *request) {
	if vhosts, ok := q.tenants(); ok {
		q.showPermissions(func(p permissionInfo) bool { return p.Vhost == vhosts[0] })
	}
}

func (a *api) permission(q *request) {
	for _, p := range allPermissions(q.broker) {
		if p.User == q.r.PathValue("user") && p.Vhost == q.r.PathValue("vhost") {
			q.answer(p)
			return
		}
	}
	q.notFound()
}

// both returns the user and the vhost of the path; without them it has
// answered.
func (q *request) both() (user, vhost string, ok bool) {
	u, vhost := q.broker.User(q.r.PathValue("user")), q.r.PathValue("vhost")
	if u == nil || !q.broker.Tenant(vhost) {
		fail(q.w, http.StatusBadRequest, "bad_request", "vhost_or_user_not_found")
		return "", "", false
	}
	return u.Name, vhost, true
}

// settled answers a change that was waited for.
func (q *request) settled(created bool, start func(done func(error))) {
	if err := wait(start); err != nil {
		q.refused(err)
		return
	}
	q.done(created)
}

func (a *api) putPermission(q *request) {
	var body struct{ Configure, Write, Read *string }
	user, vhost, ok := q.both()
	if !ok || !q.read(&body) {
		return
	}
	if q.lacks(map[string]bool{"configure": body.Configure != nil, "write": body.Write != nil, "read": body.Read != nil}) {
		return
	}
	created := q.broker.User(user).Permission(vhost) == nil
	q.settled(created, func(done func(error)) {
		q.broker.SetPermission(user, vhost, *body.Configure, *body.Write, *body.Read, done)
	})
}

func (a *api) deletePermission(q *request) {
	if user, vhost, ok := q.both(); ok {
		q.settled(false, func(done func(error)) { q.broker.ClearPermission(user, vhost, done) })
	}
}

// topicPermissionInfo limits the routing keys of a user at a topic exchange.
type topicPermissionInfo struct {
	User     string `json:"user"`
	Vhost    string `json:"vhost"`
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}

func allTopicPermissions(b *broker.Broker) []topicPermissionInfo {
	list := []topicPermissionInfo{}
	for _, u := range b.Users() {
		for _, p := range u.Topics {
			list = append(list, topicPermissionInfo{u.Name, tenantName(p.Tenant), p.Exchange, p.Write.String(), p.Read.String()})
		}
	}
	return list
}

// topicPermissions answers with those of the user and the vhost that the path
// names.
func (a *api) topicPermissions(q *request) {
	user, vhost := q.r.PathValue("user"), q.r.PathValue("vhost")
	found := []topicPermissionInfo{}
	for _, p := range allTopicPermissions(q.broker) {
		if (user == "" || p.User == user) && (vhost == "" || p.Vhost == vhost) {
			found = append(found, p)
		}
	}
	if len(found) == 0 && user != "" {
		q.notFound()
		return
	}
	rows(q, found)
}

func (a *api) putTopicPermission(q *request) {
	var body struct{ Exchange, Write, Read *string }
	user, vhost, ok := q.both()
	if !ok || !q.read(&body) {
		return
	}
	if q.lacks(map[string]bool{"exchange": body.Exchange != nil, "write": body.Write != nil, "read": body.Read != nil}) {
		return
	}
	q.settled(true, func(done func(error)) {
		q.broker.SetTopicPermission(user, vhost, *body.Exchange, *body.Write, *body.Read, done)
	})
}

func (a *api) deleteTopicPermission(q *request) {
	if user, vhost, ok := q.both(); ok {
		q.settled(false, func(done func(error)) { q.broker.ClearTopicPermission(user, vhost, q.r.PathValue("exchange"), done) })
	}
}
