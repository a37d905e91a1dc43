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
    return block.t == "Table" and mend_table(block, div.attributes.caption) or block
  end)
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

-- Without the attributes that a browser would act on; width and height are a picture's.
local function plain(attr)
  local kept = { width = attr.attributes.width, height = attr.attributes.height }
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

-- Raw text as the report may hold it: formulas, harmless HTML, and our own chapter numbers for Typst; nothing else.
local function raw(element, make_math)
  local format, text = element.format:lower(), element.text
  local body = format:match("tex") and text:match("^%s*\\begin{align%*?}(.-)\\end{align%*?}%s*$")
  if body then
    return make_math("\\begin{aligned}" .. body .. "\\end{aligned}")
  end
  local number = format == "typst" and text:match("^#counter%(heading%)%.update%(%d+%)$")
  element.text = number or (format == "html" and harmless_tags(text)) or ""
  return element.text ~= "" and element or {}
end

function RawBlock(block)
  return raw(block, function(text) return pandoc.Para({ pandoc.Math("DisplayMath", text) }) end)
end

function RawInline(inline)
  return raw(inline, function(text) return pandoc.Math("DisplayMath", text) end)
end

return {
  { Div = Div },
  {
    Image = Image, Link = Link, Math = Math, RawBlock = RawBlock, RawInline = RawInline, Table = plain_table,
    Div = without_attributes, Span = without_attributes, Header = without_attributes,
    Code = without_attributes, CodeBlock = without_attributes,
  },
  { Figure = Figure },
}
