package lab.hivemq.filerbac;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import javax.xml.XMLConstants;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.xml.sax.SAXException;

/** Reads the extension's two files, and refuses every element and attribute that is not asked for. */
final class Xml {
    /** The file uses something that the stand-in does not have; nobody is let in until it is gone. */
    static final class NotImplemented extends Exception {
        private static final long serialVersionUID = 1L;

        NotImplemented(final String what) {
            super(what);
        }
    }

    /** The file is wrong for the real extension too. */
    static final class Invalid extends Exception {
        private static final long serialVersionUID = 1L;

        Invalid(final String what) {
            super(what);
        }
    }

    private Xml() {
    }

    static Element root(final Path file, final String name) throws Invalid, NotImplemented {
        try (var input = Files.newInputStream(file)) {
            final var factory = DocumentBuilderFactory.newInstance();
            factory.setFeature(XMLConstants.FEATURE_SECURE_PROCESSING, true);
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            final var builder = factory.newDocumentBuilder();
            builder.setErrorHandler(null);
            final var root = builder.parse(input).getDocumentElement();
            if (!root.getTagName().equals(name)) {
                throw new Invalid("its root is <" + root.getTagName() + ">, not <" + name + ">");
            }
            return root;
        } catch (final java.io.IOException | SAXException | javax.xml.parsers.ParserConfigurationException error) {
            throw new Invalid("it cannot be read: " + error.getMessage());
        }
    }

    /** The child elements, each of which must have one of these names. */
    static List<Element> children(final Element parent, final Set<String> names) throws NotImplemented {
        if (parent.getAttributes().getLength() > 0) {
            throw new NotImplemented("attribute " + parent.getAttributes().item(0) + " of <" + parent.getTagName() + ">");
        }
        final var found = new ArrayList<Element>();
        for (Node node = parent.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (node instanceof final Element element) {
                if (!names.contains(element.getTagName())) {
                    throw new NotImplemented("<" + element.getTagName() + "> in <" + parent.getTagName() + ">");
                }
                found.add(element);
            }
        }
        return found;
    }

    /** The text of the child element of this name, or the default when there is none. */
    static String text(final List<Element> elements, final String name, final String otherwise) throws Invalid, NotImplemented {
        String found = null;
        for (final var element : elements) {
            if (element.getTagName().equals(name)) {
                if (found != null) {
                    throw new Invalid("<" + name + "> is there twice");
                }
                children(element, Set.of());
                found = element.getTextContent().strip();
            }
        }
        return found == null ? otherwise : found;
    }

    /** The children named {@code item} of the one element named {@code list}; none when it is not there. */
    static List<Element> list(final List<Element> elements, final String list, final String item) throws NotImplemented {
        for (final var element : elements) {
            if (element.getTagName().equals(list)) {
                return children(element, Set.of(item));
            }
        }
        return List.of();
    }
}
