-- What pandoc's readers leave in a form that Typst or a browser without MathJax cannot show, and what somebody else's
-- notebook must not do to whoever makes or opens its report: run code, read a file, fetch anything.

local function parse_html(text)
  -- Code that a cell printed as HTML is read as a document: tables survive, scripts and styles do not.
  text = text:gsub("<style.->.-</style>", ""):gsub("<script.->.-</script>", "")
  -- Without an environment to read from: pandoc would fetch what an <iframe> names.
  return pandoc.Blocks(pandoc.read(text, "html", nil, {}).blocks):walk({
    Image = function(image)
      return image.src:match("^data:image/") and image or image.caption
    end,
  })
end

local function mend_table(block, caption)
  if caption and caption ~= "" then
    block.caption.long = pandoc.read(caption, "markdown").blocks
  end
  for i, spec in ipairs(block.colspecs) do
    block.colspecs[i] = { i == 1 and pandoc.AlignLeft or pandoc.AlignRight, nil }
  end
  return block
end

-- Only pictures that the notebooks drew lie beside the text. Nothing else is read or fetched while a report is made.
local function is_ours(source)
  return source:match("^data:image/") ~= nil or source:match("^%./[%w_.-]+$") ~= nil
end

function Div(div)
  if not div.classes:includes("output") then
    return nil
  end
  local blocks = pandoc.List()
  for _, block in ipairs(div.content) do
    if block.t == "RawBlock" and block.format == "html" then
      for _, parsed in ipairs(parse_html(block.text)) do
        if parsed.t == "Div" then
          blocks:extend(parsed.content)
        else
          blocks:insert(parsed)
        end
      end
    else
      blocks:insert(block)
    end
  end
  return blocks:map(function(block)
    if block.t == "Table" then
      block.identifier = div.identifier
      return mend_table(block, div.attributes.caption)
    end
    return block
  end)
end

local function is_raw(block, text)
  return block and block.t == "RawBlock" and block.text == text
end

-- On paper nothing folds: <summary>Answer</summary> becomes the bold first word of what it hides.
local function unfolded(blocks)
  for i = #blocks - 3, 1, -1 do
    local summary, hidden = blocks[i + 1], blocks[i + 3]
    if is_raw(blocks[i], "<summary>") and is_raw(blocks[i + 2], "</summary>") and summary.content and hidden.content then
      local words = pandoc.List({ pandoc.Strong(summary.content .. { pandoc.Str(".") }), pandoc.Space() })
      blocks[i + 3] = pandoc.Para(words .. hidden.content)
      for _ = 1, 3 do
        blocks:remove(i)
      end
    end
  end
  return blocks
end

-- In a notebook's text, a line in italics below a table is its caption.
function Blocks(blocks)
  for i = #blocks - 1, 1, -1 do
    local line = blocks[i + 1]
    local words = line.t == "Para" and #line.content == 1 and line.content[1].t == "Emph" and line.content[1].content
    if words and blocks[i].t == "Table" and #blocks[i].caption.long == 0 then
      blocks[i].caption.long = { pandoc.Plain(words) }
      blocks:remove(i + 1)
    end
  end
  return FORMAT == "typst" and unfolded(blocks) or blocks
end

-- All that is left of raw HTML is these tags, without attributes.
local harmless = pandoc.List({
  "details", "summary", "br", "hr", "p", "b", "i", "u", "em", "strong", "small", "sub", "sup", "kbd", "mark",
})

local function harmless_tags(text)
  local kept = {}
  for slash, name in text:gmatch("<(/?)(%a%w*)[^>]*>") do
    if harmless:includes(name:lower()) then
      table.insert(kept, "<" .. slash .. name:lower() .. ">")
    end
  end
  return table.concat(kept)
end

local function is_harmless_link(target)
  local scheme = target:match("^([^/?#]*):")
  return not scheme or pandoc.List({ "http", "https", "mailto" }):includes(scheme:lower())
end

-- Without the attributes that a browser would act on; width and height are a picture's, chapter is ours.
local function plain(attr)
  local kept = { width = attr.attributes.width, height = attr.attributes.height, chapter = attr.attributes.chapter }
  return pandoc.Attr(attr.identifier, attr.classes, kept)
end

local function without_attributes(element)
  element.attr = plain(element.attr)
  return element
end

local function plain_rows(rows)
  for _, row in ipairs(rows) do
    row.attr = pandoc.Attr()
    for _, cell in ipairs(row.cells) do
      cell.attr = pandoc.Attr()
    end
  end
end

local function plain_table(block)
  block.attr = plain(block.attr)
  for _, spec in ipairs(block.colspecs) do
    spec[1] = spec[1] == pandoc.AlignDefault and pandoc.AlignLeft or spec[1]
  end
  for _, part in ipairs({ block.head, block.foot }) do
    part.attr = pandoc.Attr()
    plain_rows(part.rows)
  end
  for _, body in ipairs(block.bodies) do
    body.attr = pandoc.Attr()
    plain_rows(body.head)
    plain_rows(body.body)
  end
  return block
end

function Link(link)
  return is_harmless_link(link.target) and without_attributes(link) or link.content
end

function Image(image)
  image = without_attributes(image)
  image.classes = {} -- one of them would put an SVG, with its scripts, into the page itself
  return is_ours(image.src) and image or image.caption -- a badge, say, becomes its text
end

function Figure(figure)
  -- A figure whose picture was left out is no figure.
  local pictures = 0
  figure:walk({ Image = function() pictures = pictures + 1 end })
  return pictures == 0 and figure.content or nil
end

function Math(math)
  math.text = math.text
    :gsub("\\begin{vmatrix}(.-)\\end{vmatrix}", "\\left|\\begin{matrix}%1\\end{matrix}\\right|")
    :gsub("\\begin{align%*?}(.-)\\end{align%*?}", "\\begin{aligned}%1\\end{aligned}")
  return math
end

-- Raw text as the report may hold it: formulas and harmless HTML, nothing else.
local function raw(element, make_math)
  local format, text = element.format:lower(), element.text
  local body = format:match("tex") and text:match("^%s*\\begin{align%*?}(.-)\\end{align%*?}%s*$")
  if body then
    return make_math("\\begin{aligned}" .. body .. "\\end{aligned}")
  end
  element.text = format == "html" and harmless_tags(text) or ""
  return element.text ~= "" and element or {}
end

function RawBlock(block)
  return raw(block, function(text) return pandoc.Para({ pandoc.Math("DisplayMath", text) }) end)
end

function RawInline(inline)
  return raw(inline, function(text) return pandoc.Math("DisplayMath", text) end)
end

-- Numbers of chapters, sections, figures and tables, given here so that both documents have the same ones. A chapter
-- begins with an empty `::: {chapter=3}`, and its first heading takes that number.
local levels, counts, chapters = { 0, 0, 0, 0, 0, 0 }, {}, 0
local next_chapter
local names = {} -- of what a link can lead to: the text of the link, or true where the link keeps its own

local function chapter_begins(div)
  local number = tonumber(div.attributes.chapter)
  if not number then
    return nil
  end
  next_chapter, chapters = number, chapters + 1
  return {}
end

local function claim_name(element, text)
  local free = element.identifier ~= "" and not names[element.identifier]
  if free then
    names[element.identifier] = text
  else
    element.identifier = ""
  end
end

local function number_heading(header)
  claim_name(header, true)
  local first = next_chapter ~= nil
  if first or header.level == 1 then
    levels[1], counts, next_chapter = next_chapter or levels[1] + 1, {}, nil
  end
  if header.level > 1 then
    levels[header.level] = levels[header.level] + 1
  end
  for level = header.level + 1, 6 do
    levels[level] = 0
  end
  local number = table.concat(levels, ".", 1, header.level)
  if not header.classes:includes("unnumbered") then
    header.content:insert(1, pandoc.Span({ pandoc.Str(number), pandoc.Space() }, { class = "number" }))
  end
  -- The PDF's running head looks up what stands there in this chapter.
  local mark = pandoc.RawBlock("typst", "#metadata(" .. chapters .. ") <chapter>")
  return first and FORMAT == "typst" and { header, mark } or header
end

local function number_caption(element, kind)
  local words = element.caption.long
  if #words == 0 then
    return nil
  end
  levels[1], next_chapter = next_chapter or levels[1], nil
  counts[kind] = (counts[kind] or 0) + 1
  local number = kind .. "\u{a0}" .. levels[1] .. "." .. counts[kind]
  claim_name(element, number)
  words[1].content:insert(1, pandoc.Space())
  words[1].content:insert(1, pandoc.Strong(number .. "."))
  element.caption.long = words
  return element
end

-- A link to the name of a figure or a table says its number; one that leads nowhere is its text.
local function resolve(link)
  local name = link.target:match("^#(.*)$")
  if not name or names[name] == true then
    return nil
  end
  if names[name] then
    link.content = { pandoc.Str(names[name]) }
    return link
  end
  return link.content
end

return {
  { Div = Div },
  {
    Image = Image, Link = Link, Math = Math, RawBlock = RawBlock, RawInline = RawInline, Table = plain_table,
    Div = without_attributes, Span = without_attributes, Header = without_attributes,
    Code = without_attributes, CodeBlock = without_attributes,
  },
  { Figure = Figure, Blocks = Blocks },
  {
    traverse = "topdown", Div = chapter_begins, Header = number_heading,
    Figure = function(figure) return number_caption(figure, "Figure") end,
    Table = function(block) return number_caption(block, "Table") end,
  },
  { Link = resolve },
}
