package oracle

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// manager is who a request to a management API is an event of.
const manager = "management"

// manageTime bounds a request to a management API.
const manageTime = 30 * time.Second

// manage makes a request, METHOD PATH BODY, to the management API as guest. Its
// event is the status, and the reason of one that fails.
func (r *run) manage(text string) error {
	method, text, _ := strings.Cut(r.resolve(text), " ")
	path, body, _ := strings.Cut(text, " ")
	req, err := http.NewRequest(method, r.api+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("management: %w", err)
	}
	req.SetBasicAuth("guest", "guest")
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: manageTime}
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("management: %w", err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("management: %w", err)
	}
	said := fmt.Sprint(answer.StatusCode)
	var failed struct {
		Reason any `json:"reason"`
	}
	if answer.StatusCode/100 == 4 && json.Unmarshal(got, &failed) == nil {
		said += fmt.Sprintf(" reason=%s", quote(fmt.Sprint(failed.Reason)))
	}
	r.events <- event{manager, 0, said}
	return nil
}
