package plots

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
)

var (
	textElement = regexp.MustCompile(`(?s)<text ([^>]*font-size:([0-9.]+)px[^>]*)>([^<]*)</text>`)
	subscripted = regexp.MustCompile(`_(.)([^_]*)`)
)

// finishText makes an SVG's text fit for where its font is not: others take its
// place, stretched to the same width. Letters after "_" become subscripts.
func finishText(svg string) (string, error) {
	handler := newSubscript()
	var wrong error
	svg = textElement.ReplaceAllStringFunc(svg, func(element string) string {
		part := textElement.FindStringSubmatch(element)
		size, err := strconv.ParseFloat(part[2], 64)
		if err != nil {
			wrong = err
			return element
		}
		width, _, _ := handler.Box(html.UnescapeString(part[3]), sans(vg.Length(size)))
		text := subscripted.ReplaceAllString(part[3], fmt.Sprintf(
			`<tspan dy="%.2f" font-size="%.2fpx">$1</tspan><tspan dy="-%.2f">$2</tspan>`, size/6, 0.7*size, size/6))
		return fmt.Sprintf(`<text xml:space="preserve" %s textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`, part[1], width.Points(), text)
	})
	return strings.ReplaceAll(svg, "font-family:"+family+";", "font-family:'"+family+"',Arimo,Arial,Helvetica,sans-serif;"), wrong
}
