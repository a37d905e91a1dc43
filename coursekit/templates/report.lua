-- What pandoc's readers leave in a form that Typst or a browser without MathJax cannot show.

local function parse_html(text)
  -- Code that a cell printed as HTML is read as a document: tables survive, scripts and styles do not.
  text = text:gsub("<style.->.-</style>", ""):gsub("<script.->.-</script>", "")
  return pandoc.Blocks(pandoc.read(text, "html").blocks):walk({
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

function Image(image)
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

function RawBlock(block)
  local body = block.format:match("tex") and block.text:match("^%s*\\begin{align%*?}(.-)\\end{align%*?}%s*$")
  if body then
    return pandoc.Para({ pandoc.Math("DisplayMath", "\\begin{aligned}" .. body .. "\\end{aligned}") })
  end
end

function RawInline(inline)
  local body = inline.format:match("tex") and inline.text:match("^%s*\\begin{align%*?}(.-)\\end{align%*?}%s*$")
  if body then
    return pandoc.Math("DisplayMath", "\\begin{aligned}" .. body .. "\\end{aligned}")
  end
end

return {
  { Div = Div },
  { Image = Image, Math = Math, RawBlock = RawBlock, RawInline = RawInline },
  { Figure = Figure },
}
