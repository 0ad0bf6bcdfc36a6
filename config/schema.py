"""JSON schemas of both settings files, for editors: made from the types, with the docstrings as descriptions."""

import ast
import inspect
import json
import textwrap
from typing import Any

from pydantic import BaseModel

from config.settings import Config, TradingRules

SCHEMAS: dict[str, type[BaseModel]] = {"config.schema.json": Config, "trading_rules.schema.json": TradingRules}


def generate(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one file. ``$schema`` is allowed at its top, since that is how a file names its schema."""
    schema = model.model_json_schema()
    described = {section.__name__: section for section in _sections(model)}
    for name, part in {model.__name__: schema, **schema.get("$defs", {})}.items():
        if name not in described:
            continue
        for key, text in _attribute_docs(described[name]).items():
            if key in part.get("properties", {}):
                part["properties"][key].setdefault("description", text)
    schema["properties"]["$schema"] = {"type": "string", "description": "where an editor finds this schema"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def text(model: type[BaseModel]) -> str:
    """The file's content."""
    return json.dumps(generate(model), indent=2, ensure_ascii=False) + "\n"


def _sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    found = {model}
    for info in model.model_fields.values():
        queue = [info.annotation]
        while queue:
            here = queue.pop()
            if isinstance(here, type) and issubclass(here, BaseModel):
                found |= _sections(here)
            queue.extend(getattr(here, "__args__", ()))
    return found


def _attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """Docstrings written below the fields of one class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(said))):
                docs[key] = inspect.cleandoc(said).replace("\n", " ")
    return docs
